"""How numbers are shown to people: angles in degrees, north through east, and units as symbols."""

from __future__ import annotations

import math
from collections.abc import Mapping
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

ERROR_UNITS = {"brightness": "dex", "velocity": "km/s", "dispersion": "km/s", "ml": r"$\mathrm{M_\odot/L_\odot}$"}


class Column(NamedTuple):
    """Samples of one quantity as they are drawn.

    Attributes:
        name: of the parameter or derived quantity.
        label: symbol and unit, in matplotlib's mathtext.
        values: (n,) samples; angles in degrees, in one piece: they may leave the range of their circle.
        truth: on the same branch as `values`, or None.
        unit: of the values, in the package's notation.
        period: of a periodic quantity, None on the line.
    """

    name: str
    label: str
    values: np.ndarray
    truth: float | None
    unit: str = ""
    period: float | None = None


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


def all_columns(posterior: Posterior) -> list[Column]:
    """`parameter_columns`, and the derived quantities that are not among them."""
    columns = parameter_columns(posterior)
    shown = {column.name for column in columns}
    return [*columns, *(column for column in derived_columns(posterior) if column.name not in shown)]


def key_columns(posterior: Posterior) -> list[Column]:
    """The half dozen quantities that most readers look for."""
    known = {column.name: column for column in all_columns(posterior)}
    outer = "log10_disc2_radius" if "log10_disc2_radius" in known else "log10_disc1_radius"
    chosen = ("position_angle_deg", "inclination_deg", "log10_stellar_mass", "bulge_fraction", outer, "log10_halo_mass")
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
        if parameter.name in IN_DEGREES:
            values = quantities[column.name].compute({parameter.name: values})
        shown.append(on_branch(values, column, posterior.weights))
    return shown


def on_branch(values: np.ndarray, column: Column, weights: np.ndarray) -> np.ndarray:
    """Other values of a column's quantity, (m,), within half a period of its mean; on the line as they are.

    Args:
        values: (m,) in the column's unit.
        column, weights: whose mean it is.
    """
    if column.period is None:
        return np.asarray(values, dtype=np.float64)
    return wrap(values, float(np.sum(weights * column.values)) - column.period / 2, column.period)


def unit_html(unit: str) -> str:
    """A unit as HTML."""
    return _SYMBOLS.get(unit, (unit, unit))[1]


def unit_text(unit: str) -> str:
    """A unit as mathtext."""
    return _SYMBOLS.get(unit, (unit, unit))[0]


def digits(error: float) -> int:
    """Decimals that show two digits of an error."""
    return int(np.clip(1 - math.floor(math.log10(error)), 0, 6)) if error > 0 else 3


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
    period = None if around is None else around[1]
    return Column(name, f"{label} [{symbol}]" if symbol else label, np.asarray(values), truth, unit, period)


def setting(value: Any) -> str:
    """A setting of a sampler or likelihood: a number, text, truth value, None, or a mapping of numbers."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {setting(own)}" for name, own in value.items())
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    return f"{value:.4g}" if isinstance(value, float) else str(value)
