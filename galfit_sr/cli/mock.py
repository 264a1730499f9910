"""`galfit-sr mock`."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from ..errors import InputError, unknown_name
from ..startup import start_jax
from ..toml import parse
from .command import COMPONENTS_HELP, AsJson, Seed, check_readable, command, parts_of, stem


@command
def mock(
    out: Annotated[Path, typer.Option(help="Observation file (FITS) to write; one of that name is replaced.")],
    parameters: Annotated[
        Path | None, typer.Option(help="TOML file, one `name = value` per line. (default: the bundled galaxy's)")
    ] = None,
    prior_draw: Annotated[
        bool, typer.Option("--prior-draw", help="Draw from the prior what the file does not set.")
    ] = False,
    components: Annotated[str, typer.Option(help=COMPONENTS_HELP)] = "bulge,disc1,disc2,halo",
    canvas: Annotated[int, typer.Option(min=2, help="Pixels along a side, over 40 arcsec.")] = 80,
    fidelity: Annotated[str, typer.Option(help="pixel: integrated over pixels; point: at their centres.")] = "pixel",
    noise: Annotated[float, typer.Option(min=0, help="Noise, in units of MaNGA's; 0 for exact maps.")] = 1.0,
    correlation: Annotated[
        float, typer.Option(help="FWHM in arcsec over which noise is correlated; MaNGA's is 1.6.")
    ] = 0.0,
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
    check_readable(parameters)
    given = {} if parameters is None else _read_values(parameters)

    # The exact maps are worth their digits, and a mock takes no time: always in double precision.
    start_jax(x64=True)
    import jax
    import numpy as np

    from ..model.galaxy import GalaxyModel
    from ..model.grid import FULL_RESOLUTION, Canvas
    from ..observations import make_mock, write_observation
    from ..observations.mock import MOCK_THICKNESS, MOCK_TRUTH
    from ..parameters import COMPONENT_NAMES, default_parameters
    from ..priors import Prior

    parts = parts_of(components)
    known = default_parameters(parts)
    for name in given:
        if name not in known:
            raise InputError(f"{parameters}: {unknown_name(name, [p.name for p in known], 'parameter')}")
    if prior_draw:
        drawn = Prior(known).sample(jax.random.key(seed or 0), 1)[0]
        base = {name: float(value) for name, value in known.complete(drawn).items()}
    else:
        truth = {**MOCK_TRUTH, **MOCK_THICKNESS}
        base = {name: truth[name] for name in known.names}
    side = FULL_RESOLUTION.size * FULL_RESOLUTION.pixel_scale
    observation = make_mock(
        {**base, **given},
        model=GalaxyModel(parts, Canvas(canvas, side / canvas), fidelity),
        redshift=redshift,
        noise=noise,
        correlation=correlation,
        fibres=fibres,
        seed=seed or 0,
        bins=bins,
        name=stem(out),
    )
    write_observation(out, observation)
    if as_json:
        good = {name: int(np.sum(mask)) for name, mask in observation.good._asdict().items()}
        typer.echo(json.dumps({"file": str(out), "good_pixels": good, "truth": dict(observation.truth)}))
    else:
        fit = ["galfit-sr", "fit", str(out)]
        words = ""
        if set(parts) != set(COMPONENT_NAMES):
            fit += ["--components", ",".join(parts)]
        if fidelity != GalaxyModel.fidelity:
            fit += ["--config", "fit.toml"]
            words = f", where fit.toml holds: model = {{ fidelity = {json.dumps(fidelity)} }}"
        typer.echo(f"{out}: a mock of {canvas}x{canvas} pixels; fit it with: {shlex.join(fit)}{words}")


def _read_values(path: Path) -> Mapping[str, float]:
    """name -> number from a TOML file."""
    content = parse(path.read_bytes(), str(path))
    for name, value in content.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise InputError(f"{path}: {name} = {value!r}; a number is needed")
    return {name: float(value) for name, value in content.items()}
