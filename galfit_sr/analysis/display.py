"""How numbers are shown to people: angles in degrees, north through east, and units as symbols."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from ..inference.derived import QUANTITIES, derived_truth, derived_values
from ..inference.results import Posterior
from ..inference.statistics import unwrapped, wrap

# unit in the package -> (matplotlib's mathtext, HTML)
_SYMBOLS = {
    "kpc": (r"kpc", "kpc"),
    "deg": (r"deg", "°"),
    "dex(Msun)": (r"$\mathrm{M_\odot}$", "log M<sub>☉</sub>"),
    "dex(kpc)": (r"kpc", "log kpc"),
    "dex": ("", "log"),
    "Msun / Lsun": (r"$\mathrm{M_\odot/L_\odot}$", "M<sub>☉</sub>/L<sub>☉</sub>"),
    "km / s": (r"km/s", "km/s"),
}
IN_DEGREES = {"position_angle": "position_angle_deg", "inclination": "inclination_deg"}
COMPONENT_TITLES = {"bulge": "bulge", "disc1": "inner disc", "disc2": "outer disc", "halo": "halo"}
MAP_TITLES = {
    "brightness": "Surface brightness",
    "velocity": "Velocity",
    "dispersion": "Velocity dispersion",
    "ml": "Mass-to-light ratio",
}
MAP_SYMBOLS = {
    "brightness": r"$\log_{10} B$ [$\mathrm{L_\odot\,kpc^{-2}}$]",
    "velocity": r"$v$ [km/s]",
    "dispersion": r"$\sigma$ [km/s]",
    "ml": r"$M/L$ [$\mathrm{M_\odot/L_\odot}$]",
}


class Column(NamedTuple):
    """Samples of one quantity as they are drawn.

    Attributes:
        name: of the parameter or derived quantity.
        label: symbol and unit, in matplotlib's mathtext.
        values: (n,) samples; angles in degrees, in one piece: they may leave the range of their circle.
        truth: on the same branch as `values`, or None.
    """

    name: str
    label: str
    values: np.ndarray
    truth: float | None


def parameter_columns(posterior: Posterior) -> list[Column]:
    """All free parameters, in order; position angle and inclination in degrees as people use them."""
    derived = {column.name: column for column in derived_columns(posterior)}
    columns = []
    for parameter, values in zip(posterior.parameters.free, posterior.samples.T, strict=True):
        if parameter.name in IN_DEGREES:
            columns.append(derived[IN_DEGREES[parameter.name]])
            continue
        truth = posterior.truth.get(parameter.name)
        columns.append(
            _column(posterior, parameter.name, parameter.label, parameter.unit, values, truth, parameter.circle)
        )
    return columns


def derived_columns(posterior: Posterior) -> list[Column]:
    """All derived quantities that the model has."""
    values = derived_values(posterior.columns())
    truth = derived_truth(posterior)
    return [
        _column(posterior, q.name, q.label, q.unit, values[q.name], truth.get(q.name), q.circle)
        for q in QUANTITIES
        if q.name in values
    ]


def key_columns(posterior: Posterior) -> list[Column]:
    """The half dozen quantities that most readers look for."""
    derived = {column.name: column for column in derived_columns(posterior)}
    plain = {column.name: column for column in parameter_columns(posterior)}
    outer = "log10_disc2_radius" if "log10_disc2_radius" in plain else "log10_disc1_radius"
    chosen = ("position_angle_deg", "inclination_deg", "log10_stellar_mass", "bulge_fraction", outer, "log10_halo_mass")
    known = {**plain, **derived}
    # What is fixed has no width to draw.
    return [known[name] for name in chosen if name in known and np.ptp(known[name].values) > 0]


def prior_columns(posterior: Posterior, draws: np.ndarray) -> list[np.ndarray]:
    """Draws from the prior in the units and on the branches of `parameter_columns`.

    Args:
        posterior: its parameters and branches are used.
        draws: (m, ndim) in the units of the model.

    Returns:
        (m,) for each free parameter.
    """
    shown = []
    quantities = {q.name: q for q in QUANTITIES}
    for parameter, column, values in zip(posterior.parameters.free, parameter_columns(posterior), draws.T, strict=True):
        around = parameter.circle
        if parameter.name in IN_DEGREES:
            quantity = quantities[column.name]
            values, around = quantity.compute({parameter.name: values}), quantity.circle
        if around is not None:
            middle = float(np.sum(posterior.weights * column.values))
            values = wrap(values, middle - around[1] / 2, around[1])
        shown.append(np.asarray(values, dtype=np.float64))
    return shown


def unit_html(unit: str) -> str:
    """A unit as HTML."""
    return _SYMBOLS.get(unit, (unit, unit))[1]


def unit_text(unit: str) -> str:
    """A unit as mathtext."""
    return _SYMBOLS.get(unit, (unit, unit))[0]


def pull(row: dict[str, Any], period: float | None = None) -> float | None:
    """(truth - median) in units of half the central 68 % interval; None where the truth is not known.

    Args:
        row: of a summary.
        period: of a periodic quantity, whose differences are the shortest way round.
    """
    if "truth" not in row:
        return None
    error = (row["q84"] - row["q16"]) / 2
    distance = row["truth"] - row["q50"]
    if period is not None:
        error = float(wrap(row["q84"] - row["q16"], 0, period)) / 2
        distance = float(wrap(distance, -period / 2, period))
    return distance / error if error > 0 else math.copysign(math.inf, distance) if distance else 0.0


def _column(
    posterior: Posterior,
    name: str,
    label: str,
    unit: str,
    values: np.ndarray,
    truth: float | None,
    around: tuple[float, float] | None,
) -> Column:
    if around is not None:
        values = unwrapped(values, posterior.weights, around[1])
        middle = float(np.sum(posterior.weights * values))
        values, middle = values + (wrap(middle, *around) - middle), float(wrap(middle, *around))
        if truth is not None:
            truth = float(wrap(truth, middle - around[1] / 2, around[1]))
    symbol = unit_text(unit)
    return Column(name, f"{label} [{symbol}]" if symbol else label, np.asarray(values), truth)
