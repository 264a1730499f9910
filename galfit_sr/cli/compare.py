"""`galfit-sr compare`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ..terminal import ProgressDisplay
from .command import AsJson, command, start_jax


@command
def compare(
    runs: Annotated[
        list[Path], typer.Argument(help="Run folders of finished fits of the same data; the first is the reference.")
    ],
    out: Annotated[
        Path, typer.Option(help="Folder for tables, figures and page; an earlier comparison in it is replaced.")
    ] = Path("comparison"),
    as_json: AsJson = False,
) -> None:
    """Compare runs with the first of them: posteriors, evidence, cost, best fits, with Monte Carlo errors.

    [bold]Example[/bold]

      galfit-sr compare mock_galaxy_fit mock_galaxy_conditioned
    """
    start_jax()
    from ..analysis.comparison_folder import check_folder, compare_runs, write_comparison

    check_folder(out)
    with ProgressDisplay(Console(stderr=True)) as progress:
        comparison = compare_runs(runs, progress)
        progress("figures", None, "")
        page = write_comparison(out, comparison)
    if as_json:
        typer.echo(json.dumps({"folder": str(out), **comparison.summary()}))
    else:
        typer.echo(f"{comparison}\n\npage: {page}")
