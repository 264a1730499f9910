"""`galfit-sr benchmark`."""

from __future__ import annotations

import json

import typer
from rich.console import Console

from ..startup import start_jax
from ..terminal import ProgressDisplay
from .command import AsJson, command


@command
def benchmark(as_json: AsJson = False) -> None:
    """Time the model, the likelihood and their gradients on this machine, beside plain NumPy and SciPy.

    [bold]Example[/bold]

      galfit-sr benchmark --json
    """
    start_jax(x64=False)
    from ..analysis.benchmark import as_text
    from ..analysis.benchmark import benchmark as measure
    from ..analysis.predictors import compare_predictors, predictors_as_text

    with ProgressDisplay(Console(stderr=True)) as progress:
        measured = {**measure(progress=progress), "predictors": compare_predictors(progress=progress)}
    if as_json:
        typer.echo(json.dumps(measured))
    else:
        typer.echo(f"{as_text(measured)}\n\n{predictors_as_text(measured['predictors'])}")
