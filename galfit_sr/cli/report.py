"""`galfit-sr report`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from ..startup import start_jax
from .command import AsJson, command


@command
def report(
    run: Annotated[Path, typer.Argument(help="Run folder of a finished fit.")],
    as_json: AsJson = False,
) -> None:
    """Draw the figures and the report of a finished run again, from what it saved.

    [bold]Example[/bold]

      galfit-sr report mock_galaxy_fit
    """
    start_jax(x64=False)
    from ..analysis.run_folder import read_run, summary, write_report

    loaded = read_run(run)
    page = write_report(run, loaded)
    if as_json:
        typer.echo(json.dumps({"report": str(page), **summary(loaded.posterior, loaded.observation)}))
    else:
        typer.echo(f"report: {page}")
