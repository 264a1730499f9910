"""How numbers are shown to people: angles in degrees, north through east, and units as symbols."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from html import escape
from typing import Any, NamedTuple

import numpy as np

from ..inference.derived import Quantity, derived_truth, determined, known_truth, shown_quantities
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
    shown = shown_quantities(posterior.parameters)
    return _columns(posterior, shown, known_truth(posterior, shown))


def derived_columns(posterior: Posterior) -> list[Column]:
    """All derived quantities that the model has."""
    return _columns(posterior, determined([p.name for p in posterior.parameters]), derived_truth(posterior))


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
    values = dict(zip(posterior.parameters.names, draws.T, strict=True))
    return [
        on_branch(quantity.compute(values), column, posterior.weights)
        for quantity, column in zip(shown_quantities(posterior.parameters), parameter_columns(posterior), strict=True)
    ]


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
    return _SYMBOLS[unit][1] if unit in _SYMBOLS else escape(unit)


def unit_text(unit: str) -> str:
    """A unit as mathtext."""
    return _SYMBOLS.get(unit, (unit, unit))[0]


def digits(error: float) -> int:
    """Decimals that show two digits of an error."""
    return int(np.clip(1 - math.floor(math.log10(error)), 0, 6)) if error > 0 else 3


def errors(row: Mapping[str, Any], period: float | None = None) -> tuple[float, float]:
    """How far the central 68 % interval reaches below and above the median.

    Args:
        row: of a summary.
        period: of a periodic quantity, whose differences are the short way round.
    """
    down, up = row["q50"] - row["q16"], row["q84"] - row["q50"]
    return (down, up) if period is None else (down % period, up % period)


def pull(row: Mapping[str, Any], period: float | None = None) -> float | None:
    """(truth - median) in units of half the central 68 % interval; None where the truth is not known.

    Args:
        row: of a summary.
        period: of a periodic quantity, whose differences are the shortest way round.
    """
    if "truth" not in row:
        return None
    error = sum(errors(row, period)) / 2
    distance = row["truth"] - row["q50"]
    if period is not None:
        distance = float(wrap(distance, -period / 2, period))
    return distance / error if error > 0 else math.copysign(math.inf, distance) if distance else 0.0


def _columns(posterior: Posterior, quantities: Iterable[Quantity], truth: Mapping[str, float]) -> list[Column]:
    values = posterior.columns()
    return [_column(posterior.weights, q, q.compute(values), truth.get(q.name)) for q in quantities]


def _column(weights: np.ndarray, quantity: Quantity, values: np.ndarray, truth: float | None) -> Column:
    around = quantity.circle
    if around is not None:
        values = unwrapped(values, weights, around[1])
        middle = float(np.sum(weights * values))
        values, middle = values + (wrap(middle, *around) - middle), float(wrap(middle, *around))
        if truth is not None:
            truth = float(wrap(truth, middle - around[1] / 2, around[1]))
    symbol, label = unit_text(quantity.unit), quantity.label
    label = f"{label} [{symbol}]" if symbol else label
    return Column(quantity.name, label, np.asarray(values), truth, quantity.unit, quantity.period)


def setting(value: Any) -> str:
    """A setting of a sampler or likelihood: a number, text, truth value, None, or a mapping of numbers."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {setting(own)}" for name, own in value.items())
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    return f"{value:.4g}" if isinstance(value, float) else str(value)
