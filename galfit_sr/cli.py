"""The command line: `galfit-sr fit`, `mock`, `report`, `benchmark`. No science here.

Everything that loads JAX is imported inside the commands, so that help is instant and a wrong path fails at once.
"""

from __future__ import annotations

import contextlib
import enum
import functools
import json
import os
import shlex
import sys
import tomllib
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console

from .errors import InputError
from .seeds import LARGEST
from .terminal import ProgressDisplay, print_result

app = typer.Typer(
    name="galfit-sr",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


class Sampler(enum.StrEnum):
    """Names of the samplers."""

    NESTED = "nested"


EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130


def main() -> None:
    """Entry point of the installed command."""
    app(prog_name="galfit-sr")


def _command(function: Callable[..., None]) -> Callable[..., None]:
    """Register a command whose bad input ends in one sentence on stderr and exit code 2, never in a traceback."""

    @functools.wraps(function)
    def guarded(*args: Any, **kwargs: Any) -> None:
        try:
            function(*args, **kwargs)
        except InputError as error:
            _stop(f"galfit-sr: {error}", EXIT_BAD_INPUT)
        except BrokenPipeError:
            raise  # whoever read our output has seen enough; typer ends quietly
        except OSError as error:
            _stop(f"galfit-sr: {error}", EXIT_BAD_INPUT)
        except KeyboardInterrupt:
            _stop("galfit-sr: interrupted", EXIT_INTERRUPTED)

    app.command()(guarded)
    return guarded


def _stop(sentence: str, code: int) -> NoReturn:
    typer.echo(" ".join(sentence.split()), err=True)
    raise typer.Exit(code)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"galfit-sr {version('galfit-sr')}")
        raise typer.Exit


@app.callback()
def _options(
    _: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Bayesian fits of galaxy maps: brightness, velocity, dispersion and mass-to-light ratio.

    Start with [bold]galfit-sr fit[/bold], which fits the galaxy that comes with the package.
    """


AsJson = Annotated[bool, typer.Option("--json", help="Print one line of JSON on stdout, and nothing else there.")]
X64 = Annotated[bool | None, typer.Option("--x64/--x32", help="Double or single precision. (default: single)")]
Seed = Annotated[
    int | None, typer.Option(min=0, max=LARGEST, help="Of every random number; the same seed repeats a run.")
]


@_command
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
    sampler: Annotated[Sampler, typer.Option(help="How the posterior is sampled.")] = Sampler.NESTED,
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
      galfit-sr fit --resume --out mock_galaxy_fit
    """
    for path in (file, config, masses):
        _check_readable(path)
    folder = out or Path(f"{_stem(file)}_fit")
    if resume:
        if overwrite:
            raise InputError("--resume and --overwrite exclude each other; choose one")
        if not (folder / "config.toml").is_file():
            raise InputError(f"{folder} holds no run to resume; name its folder with --out, or leave out --resume")
        config = config or folder / "config.toml"

    _start_jax()
    import jax

    from .analysis.run_folder import summary
    from .config import FitConfig, load_config, locate_region
    from .running import run_fit

    settings = FitConfig() if config is None else load_config(config)
    if out is None and file is None and settings.observation.file is not None and not resume:
        folder = Path(f"{_stem(Path(settings.observation.file))}_fit")
    settings = settings.override(
        file=None if file is None else str(file.absolute()),
        region=None if region is None else locate_region(region, Path.cwd()),
        masses=None if masses is None else str(masses.absolute()),
        seed=seed,
        x64=x64,
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
        _stop(f"galfit-sr: interrupted; {what}", EXIT_INTERRUPTED)
    for warning in posterior.warnings:
        console.print(f"warning: {warning}", markup=False, highlight=False, soft_wrap=True)
    if as_json:
        typer.echo(json.dumps({"folder": str(folder), **summary(posterior, observation)}))
    else:
        print_result(Console(), posterior, folder)


@_command
def mock(
    out: Annotated[Path, typer.Option(help="Observation file (FITS) to write; one of that name is replaced.")],
    parameters: Annotated[
        Path | None, typer.Option(help="TOML file, one `name = value` per line. (default: the bundled galaxy's)")
    ] = None,
    prior_draw: Annotated[
        bool, typer.Option("--prior-draw", help="Draw from the prior what the file does not set.")
    ] = False,
    components: Annotated[str, typer.Option(help="Which of bulge, disc1, disc2, halo.")] = "bulge,disc1,disc2,halo",
    canvas: Annotated[int, typer.Option(min=2, help="Pixels along a side, over 40 arcsec.")] = 80,
    fidelity: Annotated[str, typer.Option(help="pixel: integrated over pixels; point: at their centres.")] = "pixel",
    noise: Annotated[float, typer.Option(min=0, help="Noise, in units of MaNGA's; 0 for exact maps.")] = 1.0,
    redshift: Annotated[float, typer.Option(help="Of the galaxy.")] = 0.03,
    fibres: Annotated[int, typer.Option(min=0, help="Of the hexagonal bundle, 19 to 127; 0 for no mask.")] = 127,
    bins: Annotated[bool, typer.Option("--bins", help="Voronoi bins for velocity and dispersion.")] = False,
    seed: Seed = None,
    as_json: AsJson = False,
) -> None:
    """Make a mock observation, its truth inside, that `galfit-sr fit` reads.

    [bold]Examples[/bold]

      galfit-sr mock --prior-draw --seed 7 --out galaxy7.fits
      galfit-sr mock --parameters galaxy.toml --noise 0 --fibres 0 --out exact.fits
    """
    _check_readable(parameters)
    given = {} if parameters is None else _read_values(parameters)

    # The exact maps are worth their digits, and a mock takes no time: always in double precision.
    _start_jax(x64=True)
    import jax
    import numpy as np

    from .model.galaxy import GalaxyModel
    from .model.grid import FULL_RESOLUTION, Canvas
    from .observations import make_mock, write_observation
    from .observations.mock import MOCK_TRUTH
    from .parameters import default_parameters
    from .priors import Prior
    from .toml import check_keys

    parts = tuple(part.strip() for part in components.split(","))
    known = default_parameters(parts)
    check_keys(given, [p.name for p in known], str(parameters))
    if prior_draw:
        drawn = Prior(known).sample(jax.random.key(seed or 0), 1)[0]
        base = {name: float(value) for name, value in known.complete(drawn).items()}
    else:
        base = {name: MOCK_TRUTH[name] for name in known.names}
    side = FULL_RESOLUTION.size * FULL_RESOLUTION.pixel_scale
    observation = make_mock(
        {**base, **given},
        model=GalaxyModel(parts, Canvas(canvas, side / canvas), fidelity),
        redshift=redshift,
        noise=noise,
        fibres=fibres,
        seed=seed or 0,
        bins=bins,
        name=_stem(out),
    )
    write_observation(out, observation)
    if as_json:
        good = {name: int(np.sum(mask)) for name, mask in observation.good._asdict().items()}
        typer.echo(json.dumps({"file": str(out), "good_pixels": good, "truth": dict(observation.truth)}))
    else:
        typer.echo(f"{out}: a {canvas}x{canvas} mock; fit it with: {shlex.join(['galfit-sr', 'fit', str(out)])}")


@_command
def report(
    run: Annotated[Path, typer.Argument(help="Run folder of a finished fit.")],
    as_json: AsJson = False,
) -> None:
    """Draw the figures and the report of a finished run again, from what it saved.

    [bold]Example[/bold]

      galfit-sr report mock_galaxy_fit
    """
    _start_jax()
    from .analysis.run_folder import read_run, summary, write_report

    loaded = read_run(run)
    page = write_report(run, loaded)
    if as_json:
        typer.echo(json.dumps({"report": str(page), **summary(loaded.posterior, loaded.observation)}))
    else:
        typer.echo(f"report: {page}")


@_command
def benchmark(as_json: AsJson = False) -> None:
    """Time the model, the likelihood and their gradients on this machine, beside plain NumPy and SciPy.

    [bold]Example[/bold]

      galfit-sr benchmark --json
    """
    _start_jax()
    from .analysis.benchmark import as_text
    from .analysis.benchmark import benchmark as measure

    with ProgressDisplay(Console(stderr=True)) as progress:
        measured = measure(progress=progress)
    typer.echo(json.dumps(measured) if as_json else as_text(measured))


def _start_jax(x64: bool = False) -> None:
    """Settings of JAX that must be made before it computes anything."""
    import jax

    jax.config.update("jax_enable_x64", x64)
    if not os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        jax.config.update("jax_compilation_cache_dir", str(caches / "galfit_sr" / "xla"))
    # Walkers are shared out among devices, so a power of two. Inside a process that has used JAX it is too late.
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with contextlib.suppress(RuntimeError):
        jax.config.update("jax_num_cpu_devices", min(16, 1 << (cores.bit_length() - 1)))


def _check_readable(path: Path | None) -> None:
    if path is None:
        return
    if not path.exists():
        raise InputError(f"{path} does not exist; a file is needed")
    if not path.is_file():
        raise InputError(f"{path} is not a file; a file is needed")
    if not os.access(path, os.R_OK):
        raise InputError(f"{path} cannot be read; check its permissions")


def _stem(file: Path | None) -> str:
    """The name of a file without its folder and endings."""
    return "mock_galaxy" if file is None else file.name.removesuffix(".gz").removesuffix(".fits")


def _read_values(path: Path) -> Mapping[str, float]:
    """name -> number from a TOML file."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not valid TOML: {error}") from error
    for name, value in content.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise InputError(f"{path}: {name} = {value!r}; a number is needed")
    return {name: float(value) for name, value in content.items()}
