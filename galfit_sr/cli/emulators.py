"""`galfit-sr emulators`."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.console import Console

from ..startup import start_jax
from ..terminal import ProgressDisplay
from .command import AsJson, command


@command
def emulators(
    name: Annotated[str | None, typer.Argument(help="One of them, or a folder with one, for its whole card.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the emulators that are installed: what they were made for, how fast they are here, and how good.

    [bold]Examples[/bold]

      galfit-sr emulators
      galfit-sr emulators conditioned
    """
    start_jax(x64=False)
    from ..analysis.predictors import compare_predictors, predictors_as_text
    from ..emulation.registry import all_emulators, find_emulator

    found = all_emulators() if name is None else (find_emulator(name),)
    if not as_json:
        # Before the speeds, for which programs are compiled: that takes a minute or two.
        for emulator in found:
            typer.echo(f"{emulator.card.name}: {emulator.card.description}\n  made for {emulator.card.purpose()}\n")
            if name is not None:
                typer.echo(f"{emulator.card.to_json()}\n")
    with ProgressDisplay(Console(stderr=True)) as progress:
        rows = compare_predictors(found, progress)
    if as_json:
        cards = {emulator.card.name: json.loads(emulator.card.to_json()) for emulator in found}
        typer.echo(json.dumps({"speed": rows, "cards": cards}))
    else:
        typer.echo(predictors_as_text(rows))
