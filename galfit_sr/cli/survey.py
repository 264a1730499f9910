"""`galfit-sr survey`."""

from __future__ import annotations

import json
import shlex
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from ..errors import InputError
from ..startup import start_jax
from ..terminal import ProgressDisplay
from .command import EXIT_INTERRUPTED, X64, AsJson, Seed, check_readable, command, stop
from .fit import Sampler

if TYPE_CHECKING:
    from ..surveys.survey import Survey


class Variant(StrEnum):
    """Names of the models that a survey can compare."""

    BULGE_DISC = "bulge+disc"
    BULGE_DISCS = "bulge+discs"
    DISCS = "discs"


_LISTS = {".csv", ".ecsv", ".txt"}
"""Endings of what is a list of galaxies rather than one of them."""


@command
def survey(
    files: Annotated[
        list[Path] | None, typer.Argument(help="MaNGA MAPS files or observation files.", show_default=False)
    ] = None,
    list_file: Annotated[
        Path | None,
        typer.Option("--list", help="CSV file in their place, with the columns file, name, region, masses."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the survey. (default: ./survey)")] = None,
    config: Annotated[Path | None, typer.Option(help="TOML file of every fit; options here come before it.")] = None,
    emulator: Annotated[str | None, typer.Option(help="Of every fit (`galfit-sr emulators`).")] = None,
    sampler: Annotated[Sampler | None, typer.Option(help="Of every fit.")] = None,
    nlive: Annotated[int | None, typer.Option(min=40, help="Live points of the nested sampler.")] = None,
    variant: Annotated[
        list[Variant] | None,
        typer.Option(help="Fit this model, and others that are named likewise; the evidence says which is preferred."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Processes on this machine. (default: one per GPU, or one per core)")
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option(help="Address of a running Dask scheduler whose workers are used instead.")
    ] = None,
    slurm: Annotated[
        Path | None, typer.Option(help="TOML file with dask-jobqueue's options of SLURM jobs, used instead.")
    ] = None,
    pbs: Annotated[Path | None, typer.Option(help="The same for PBS jobs.")] = None,
    time_limit: Annotated[
        float | None, typer.Option(min=0, help="Seconds after which a galaxy is given up; its checkpoint stays.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Do what is not done of the survey in the folder.")] = False,
    collate: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Only write catalogue and page of this survey anew.")
    ] = None,
    seed: Seed = None,
    x64: X64 = None,
    as_json: AsJson = False,
) -> None:
    """Fit many galaxies, on this machine or a cluster; a catalogue and a status page out.

    A galaxy that fails is named with its reason, and the others go on. After Ctrl-C, a crash or a weekend,
    --resume does what is not done. The exit status is 1 if no galaxy is done in the end.

    [bold]Examples[/bold]

      galfit-sr survey maps/*.fits.gz --out thesis --workers 4
      galfit-sr survey --list galaxies.csv --out thesis --config fit.toml --slurm slurm.toml
      galfit-sr survey --resume --out thesis
    """
    engines = {"--workers": workers, "--scheduler": scheduler, "--slurm": slurm, "--pbs": pbs}
    if collate is not None:
        beside = {"files": files, "--list": list_file, "--out": out, "--config": config, "--resume": resume, **engines}
        if any(beside.values()):
            raise InputError(f"{' and '.join(k for k, v in beside.items() if v)} beside --collate; it goes alone")
        from ..surveys.survey import collate as rebuild

        _tell(rebuild(collate), as_json)
        return
    if files and list_file is not None:
        raise InputError("files and --list exclude each other; choose one")
    for file in files or ():
        _check_maps(file)
    for path in (list_file, config, slurm, pbs):
        check_readable(path)
    from ..surveys.cluster import engine_of, gpus

    engine = engine_of(workers=workers, scheduler=scheduler, slurm=slurm, pbs=pbs)
    folder = out or Path("survey")
    start_jax(x64=False)
    import jax

    from ..config import FitConfig, load_config, locate_emulator
    from ..surveys.plan import read_plan
    from ..surveys.survey import make_plan, run_survey

    if gpus():
        jax.config.update("jax_platforms", "cpu")  # of this process, which must not take the workers' memory
    if config is not None:
        settings = load_config(config)
    else:
        settings = read_plan(folder).config if resume else FitConfig()
    settings = settings.override(
        emulator=None if emulator is None else locate_emulator(emulator, Path.cwd()),
        seed=seed,
        x64=x64,
        kind=None if sampler is None else str(sampler),
        nlive=nlive,
    )
    plan = make_plan(list_file or files, folder, settings, [str(v) for v in variant or ()], resume)
    console = Console(stderr=True)
    try:
        with ProgressDisplay(console) as progress:
            made = run_survey(plan, folder, engine, time_limit=time_limit, resume=resume, progress=progress)
    except KeyboardInterrupt:
        same = {**engines, "--time-limit": time_limit}
        options = [word for name, value in same.items() if value is not None for word in (name, str(value))]
        again = shlex.join(["galfit-sr", "survey", "--resume", "--out", str(folder), *options])
        stop(f"galfit-sr: interrupted; what is finished is kept, go on with: {again}", EXIT_INTERRUPTED)
    _tell(made, as_json)
    if len(made.failures) == len(plan.galaxies):
        raise typer.Exit(1)


def _check_maps(path: Path) -> None:
    """Raises InputError if a file of a galaxy cannot be read, or is a list of galaxies by its name."""
    if path.suffix.lower() in _LISTS:
        what = "is no file of maps" if path.exists() else "does not exist"
        raise InputError(f"{path} {what}; a list of galaxies is given with --list")
    check_readable(path)


def _tell(made: Survey, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(made.summary()))
        return
    typer.echo(f"{made.folder}: {made}")
    for name, reason in made.failures.items():
        typer.echo(f"  {name}: {reason}")
    typer.echo(f"catalogue {made.folder / 'catalogue.fits'}\npage      {made.folder / 'index.html'}")
