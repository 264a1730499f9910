"""`galfit-sr compare`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ..errors import InputError
from ..startup import start_jax
from ..terminal import ProgressDisplay
from .command import AsJson, command


@command
def compare(
    runs: Annotated[
        list[Path] | None,
        typer.Argument(help="Run folders of finished fits of the same data; the first is the reference."),
    ] = None,
    out: Annotated[
        Path, typer.Option(help="Folder for tables, figures and page; an earlier comparison in it is replaced.")
    ] = Path("comparison"),
    study: Annotated[
        bool,
        typer.Option("--study", help="Instead, fit eight or nine mock galaxies with and without emulators (hours)."),
    ] = False,
    emulator: Annotated[
        list[str] | None,
        typer.Option(help="Emulators of the study, names or folders that `galfit-sr train` wrote; repeat for several."),
    ] = None,
    galaxy: Annotated[
        list[str] | None,
        typer.Option(help='Galaxies of the study, such as "compact"; repeat for several (default: all).'),
    ] = None,
    uncorrected: Annotated[
        bool, typer.Option("--uncorrected", help="Of a study: leave out the correction of what emulators give.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Compare runs with the first of them: posteriors, evidence, cost, best fits, with Monte Carlo errors.

    [bold]Example[/bold]

      galfit-sr compare mock_galaxy_fit mock_galaxy_conditioned
      galfit-sr compare --study --emulator conditioned --emulator bicubic --out study
      galfit-sr compare --study --emulator isrcnn --galaxy typical --uncorrected --out study
    """
    if study and runs:
        raise InputError("a study makes its own runs; leave out the run folders, or --study")
    for option, is_given in {"--emulator": emulator, "--galaxy": galaxy, "--uncorrected": uncorrected}.items():
        if is_given and not study:
            raise InputError(f"{option} is for a study; leave it out, or add --study")
    start_jax(x64=False)
    if study:
        _study(out, emulator or ["conditioned"], galaxy, not uncorrected, as_json)
        return
    from ..analysis.comparison_folder import check_folder, compare_runs, write_comparison

    check_folder(out)
    with ProgressDisplay(Console(stderr=True)) as progress:
        comparison = compare_runs(runs or [], progress)
        progress("figures", None, "")
        page = write_comparison(out, comparison)
    if as_json:
        typer.echo(json.dumps({"folder": str(out), **comparison.summary()}))
    else:
        typer.echo(f"{comparison}\n\npage: {page}")


def _study(folder: Path, emulators: list[str], galaxies: list[str] | None, corrected: bool, as_json: bool) -> None:
    """Makes what is missing of a study in a folder, and prints it."""
    from ..analysis.rendering import png
    from ..analysis.study import study
    from ..analysis.study_results import study_figure, study_text
    from ..files import write_bytes, write_text

    with ProgressDisplay(Console(stderr=True)) as progress:
        found = study(folder, emulators, galaxies=galaxies, corrected=corrected, progress=progress)
    write_text(folder / "study.txt", f"{study_text(found)}\n")
    write_bytes(folder / "study.png", png(study_figure(found), 130))
    typer.echo(json.dumps({"folder": str(folder), **found}) if as_json else study_text(found))
