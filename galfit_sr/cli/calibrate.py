"""`galfit-sr calibrate`."""

from __future__ import annotations

import enum
import json
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ..startup import start_jax
from ..terminal import ProgressDisplay
from .command import EXIT_INTERRUPTED, X64, AsJson, Seed, command, stop
from .fit import Sampler

_COARSEST = 8
"""Pixels along a side: with fewer they are wider than two PSFs, and minutes of fits tell of little but the prior."""


class Control(enum.StrEnum):
    """Names of the negative controls."""

    UNDERSTATED_ERRORS = "understated-errors"
    WRONG_PSF = "wrong-psf"
    BIASED_EMULATOR = "biased-emulator"


@command
def calibrate(
    mocks: Annotated[int, typer.Option(help="How many mock galaxies.")] = 128,
    out: Annotated[Path, typer.Option(help="Folder of mocks and result; a calibration in it goes on.")] = Path(
        "calibration"
    ),
    workers: Annotated[
        int, typer.Option(help="Processes; as many as cores is fastest. 1 does all in this process.")
    ] = 1,
    sampler: Annotated[Sampler, typer.Option(help="Of the fits.")] = Sampler.NESTED,
    nlive: Annotated[int | None, typer.Option(min=40, help="Live points of the nested sampler.")] = None,
    emulator: Annotated[
        str | None, typer.Option(help="Of the fits (`galfit-sr emulators`); it decides the canvas.")
    ] = None,
    canvas: Annotated[
        int, typer.Option(min=_COARSEST, help="Pixels along a side, over 40 arcsec; 20 for a quick one.")
    ] = 80,
    fidelity: Annotated[
        str, typer.Option(help="pixel: integrated over pixels; point: at their centres, many times faster at 20.")
    ] = "pixel",
    control: Annotated[
        Control | None, typer.Option(help="Tell the fits something wrong: the calibration must fail.")
    ] = None,
    seed: Seed = None,
    x64: X64 = None,
    as_json: AsJson = False,
) -> None:
    """Test posteriors: truths from the prior, mocks, fits; are truths where the posteriors say?

    The verdict is printed, and in calibration.json as `passed`; a calibration that fails is a result, and exits with 0.
    The same command goes on where it was stopped, and adds mocks where --mocks is larger.

    [bold]Examples[/bold]

      galfit-sr calibrate --canvas 20 --fidelity point --mocks 64 --nlive 100 --workers 4
      galfit-sr calibrate --canvas 20 --control understated-errors --out control
    """
    start_jax(x64=bool(x64))
    from ..analysis.calibrate import calibrate as run
    from ..config import FitConfig, locate_emulator

    settings = FitConfig().override(kind=str(sampler), nlive=nlive)
    try:
        with ProgressDisplay(Console(stderr=True)) as progress:
            made = run(
                mocks,
                sampler=settings.sampler,
                emulator=None if emulator is None else locate_emulator(emulator, Path.cwd()),
                canvas=canvas,
                fidelity=fidelity,
                control=None if control is None else str(control),
                seed=1 if seed is None else seed,
                workers=workers,
                out=out,
                progress=progress,
            )
    except KeyboardInterrupt:
        stop(
            f"galfit-sr: interrupted; what is finished is kept, go on with: {shlex.join(['galfit-sr', *sys.argv[1:]])}",
            EXIT_INTERRUPTED,
        )
    typer.echo(json.dumps({"folder": str(out), **made.summary()}) if as_json else str(made))
