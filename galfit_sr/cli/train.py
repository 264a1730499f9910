"""`galfit-sr train`."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from ..errors import InputError
from ..startup import start_jax
from ..terminal import ProgressDisplay, format_seconds
from ..toml import parse
from .command import EXIT_INTERRUPTED, AsJson, Seed, check_readable, command, stop


@command
def train(
    name: Annotated[str, typer.Argument(help="Network, as `galfit-sr emulators` lists them.")],
    config: Annotated[
        Path | None,
        typer.Option(help="TOML file; what it says comes before the network's own train.toml, and options before it."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the trained network. (default: ./NAME_trained)")] = None,
    data: Annotated[
        Path | None, typer.Option(help="Store of training pairs (`galfit-sr dataset`); computed if left out.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="At most so many.")] = None,
    max_seconds: Annotated[
        float | None, typer.Option(min=0, help="Begin no epoch that would end later; at least one is made.")
    ] = None,
    seed: Seed = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint in the folder.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the network in the folder.")] = False,
    as_json: AsJson = False,
) -> None:
    """Train a network, measure it on galaxies that it has not seen, and write it where `fit --emulator` finds it.

    Ctrl-C ends the training early; what was learnt is measured and saved.

    [bold]Examples[/bold]

      galfit-sr train isrcnn --max-seconds 3600
      galfit-sr train isrcnn --resume --epochs 800
      galfit-sr fit --emulator ./isrcnn_trained
    """
    check_readable(config)
    if resume and overwrite:
        raise InputError("--resume and --overwrite exclude each other; choose one")
    start_jax(x64=False)
    from ..emulation.registry import find_network
    from ..emulation.training import train as run
    from ..emulation.training_settings import read_training

    network, recipe = find_network(name)
    given = {} if config is None else parse(config.read_bytes(), str(config))
    table = _merged(parse(recipe.read_bytes(), f"{name}'s train.toml"), given)
    chosen = {"epochs": epochs, "seed": seed}
    table |= {key: value for key, value in chosen.items() if value is not None}
    training, network = read_training(table, network)
    folder = out or Path(f"{name}_trained")
    with ProgressDisplay(Console(stderr=True)) as progress:
        card = run(
            name,
            network,
            training,
            folder,
            data=data,
            resume=resume,
            overwrite=overwrite,
            max_seconds=float("inf") if max_seconds is None else max_seconds,
            progress=progress,
        )
    done, inside = card.training, card.held_out["inside"]
    if as_json:
        typer.echo(json.dumps({"folder": str(folder), "training": done, "held_out": card.held_out}))
    else:
        if "curve" in done:
            typer.echo(f"epochs          {done['epochs']} in {format_seconds(done['seconds'])}; {done['ended']}")
        typer.echo(f"held-out error  {inside['noise']['whole']['median']} typical noise, {inside['l1']} in [0, 1]")
        typer.echo(f"use it with     {shlex.join(['galfit-sr', 'fit', '--emulator', str(folder)])}")
    if card.training["ended"] == "interrupted":
        again = shlex.join(["galfit-sr", "train", name, "--resume", "--out", str(folder)])
        stop(f"galfit-sr: interrupted; what was learnt is saved, go on with: {again}", EXIT_INTERRUPTED)


def _merged(own: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """A table with the keys of another put before its own, in its sections as well."""
    sections = {k: {**own.get(k, {}), **v} for k, v in given.items() if isinstance(v, Mapping)}
    return {**own, **given, **sections}
