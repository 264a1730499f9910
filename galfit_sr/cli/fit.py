"""`galfit-sr fit`."""

from __future__ import annotations

import enum
import json
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ..errors import InputError
from ..startup import start_jax
from ..terminal import ProgressDisplay, print_result
from .command import (
    COMPONENTS_HELP,
    EXIT_INTERRUPTED,
    X64,
    AsJson,
    Seed,
    check_readable,
    command,
    parts_of,
    stem,
    stop,
)


class Sampler(enum.StrEnum):
    """Names of the samplers."""

    NESTED = "nested"
    NUTS = "nuts"
    NSS = "nss"


@command
def fit(
    file: Annotated[
        Path | None,
        typer.Argument(help="MaNGA MAPS file or observation file; the bundled mock galaxy if left out."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Run folder. (default: ./NAME_fit)")] = None,
    config: Annotated[Path | None, typer.Option(help="TOML file; options given here come before it.")] = None,
    region: Annotated[
        str | None,
        typer.Option(help='Pixels to leave out: a FITS mask, or "circle(x, y, r)" in arcsec from the centre.'),
    ] = None,
    masses: Annotated[
        Path | None,
        typer.Option(help="FITS file of stellar masses on the spaxels of the MAPS file, for a mass-to-light map."),
    ] = None,
    components: Annotated[
        str | None,
        typer.Option(help=f"{COMPONENTS_HELP} (default: those that the emulator is for, or bulge,disc1,disc2,halo)"),
    ] = None,
    emulator: Annotated[
        str | None,
        typer.Option(help="Model few pixels and let this emulator give the rest: a name (`galfit-sr emulators`)."),
    ] = None,
    exact: Annotated[
        bool,
        typer.Option(
            "--exact", help="Correct what was found with the emulator to the posterior at full resolution, certified."
        ),
    ] = False,
    sampler: Annotated[
        Sampler | None,
        typer.Option(
            help="How the posterior is sampled: nested (the default), nuts (by gradients), or nss (nested, on devices)."
        ),
    ] = None,
    nlive: Annotated[int | None, typer.Option(min=40, help="Live points of the nested sampler.")] = None,
    seed: Seed = None,
    max_seconds: Annotated[
        float | None,
        typer.Option(
            min=0, help="End sampling this long after the start, with a marked result; the first answer is always made."
        ),
    ] = None,
    max_calls: Annotated[int | None, typer.Option(min=1, help="Stop after this many likelihoods, likewise.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run in the folder.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the run in the folder.")] = False,
    x64: X64 = None,
    as_json: AsJson = False,
) -> None:
    """Fit a galaxy: maps in, posterior, figures and a report out.

    [bold]Examples[/bold]

      galfit-sr fit
      galfit-sr fit manga-10215-3703-MAPS-HYB10-MILESHC-MASTARSSP.fits.gz --nlive 500 --seed 1
      galfit-sr fit --emulator conditioned --exact
      galfit-sr fit --resume --out mock_galaxy_fit
    """
    for path in (file, config, masses):
        check_readable(path)
    folder = out or Path("mock_galaxy_fit" if file is None else f"{stem(file)}_fit")
    if resume:
        if overwrite:
            raise InputError("--resume and --overwrite exclude each other; choose one")
        if not (folder / "config.toml").is_file():
            raise InputError(f"{folder} holds no run to resume; name its folder with --out, or leave out --resume")
        config = config or folder / "config.toml"

    start_jax(x64=False)
    import jax

    from ..analysis.run_folder import summary
    from ..config import FitConfig, load_config, locate_emulator, locate_region
    from ..running import run_fit

    settings = FitConfig() if config is None else load_config(config)
    if out is None and file is None and settings.observation.file is not None and not resume:
        folder = Path(f"{stem(Path(settings.observation.file))}_fit")
    settings = settings.override(
        file=None if file is None else str(file.absolute()),
        region=None if region is None else locate_region(region, Path.cwd()),
        masses=None if masses is None else str(masses.absolute()),
        components=None if components is None else parts_of(components),
        emulator=None if emulator is None else locate_emulator(emulator, Path.cwd()),
        exact=exact,
        seed=seed,
        x64=x64,
        kind=None if sampler is None else str(sampler),
        nlive=nlive,
        max_seconds=max_seconds,
        max_calls=max_calls,
    )
    jax.config.update("jax_enable_x64", settings.x64)
    console = Console(stderr=True)
    try:
        with ProgressDisplay(console) as progress:
            posterior, observation = run_fit(
                settings,
                folder,
                resume=resume,
                overwrite=overwrite,
                command=shlex.join(["galfit-sr", *sys.argv[1:]]),
                progress=progress,
            )
    except KeyboardInterrupt:
        again = shlex.join(["galfit-sr", "fit", "--resume", "--out", str(folder)])
        what = f"continue with: {again}" if (folder / "config.toml").is_file() else "nothing was written"
        stop(f"galfit-sr: interrupted; {what}", EXIT_INTERRUPTED)
    for warning in posterior.warnings:
        console.print(f"warning: {warning}", markup=False, highlight=False, soft_wrap=True)
    if as_json:
        typer.echo(json.dumps({"folder": str(folder), **summary(posterior, observation)}))
    else:
        print_result(posterior, folder)
