"""What people ask of a galaxy, from what the model samples: angles in degrees, total masses, fractions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from ..parameters import COMPONENT_NAMES
from .results import Posterior
from .statistics import describe

Values = Mapping[str, Any]
_STARS = tuple(c for c in COMPONENT_NAMES if c != "halo")


class Quantity(NamedTuple):
    """A number that follows from the parameters.

    Attributes:
        name, unit, label, description: as for a `Parameter`.
        needs: parameters without which it has no meaning.
        compute: values by name (scalars or arrays) -> the number.
        circle: (low, period) if it is periodic.
    """

    name: str
    unit: str
    label: str
    description: str
    needs: tuple[str, ...]
    compute: Callable[[Values], Any]
    circle: tuple[float, float] | None = None


def stellar_mass(values: Values) -> Any:
    """Mass of all stellar components that `values` has [M_sun]."""
    return sum(10.0 ** np.asarray(values[f"log10_{c}_mass"]) for c in _STARS if f"log10_{c}_mass" in values)


QUANTITIES = (
    Quantity(
        "position_angle_deg",
        "deg",
        r"$\mathrm{PA}$",
        "position angle of the receding side, north through east",
        ("position_angle",),
        lambda v: np.mod(np.rad2deg(v["position_angle"]) - 90, 360),
        (0.0, 360.0),
    ),
    Quantity(
        "inclination_deg",
        "deg",
        r"$i$",
        "inclination, 0 is face-on",
        ("inclination",),
        lambda v: np.rad2deg(v["inclination"]),
    ),
    Quantity(
        "log10_stellar_mass",
        "dex(Msun)",
        r"$\log_{10} M_\star$",
        "stellar mass, all components",
        (),
        lambda v: np.log10(stellar_mass(v)),
    ),
    Quantity(
        "bulge_fraction",
        "",
        r"$M_\mathrm{b}/M_\star$",
        "bulge mass over stellar mass",
        ("log10_bulge_mass", "log10_disc1_mass"),
        lambda v: 10.0 ** np.asarray(v["log10_bulge_mass"]) / stellar_mass(v),
    ),
    Quantity(
        "log10_halo_mass",
        "dex(Msun)",
        r"$\log_{10} M_\mathrm{h}$",
        "halo mass within r200",
        ("log10_halo_fraction",),
        lambda v: np.log10(stellar_mass(v)) + v["log10_halo_fraction"],
    ),
)


def derived_values(values: Values) -> dict[str, Any]:
    """Name -> number for each of `QUANTITIES` that the values (scalars or arrays, by parameter name) determine."""
    luminous = any(f"log10_{c}_mass" in values for c in _STARS)
    return {
        q.name: q.compute(values)
        for q in QUANTITIES
        if (q.needs or luminous) and all(name in values for name in q.needs)
    }


def derived_summary(posterior: Posterior) -> dict[str, dict[str, Any]]:
    """Derived quantity -> mean, std, quantiles, unit, truth where known; as `Posterior.summary`."""
    columns = derived_values(posterior.columns())
    truth = derived_truth(posterior)
    table = {}
    for quantity in QUANTITIES:
        if quantity.name not in columns:
            continue
        row: dict[str, Any] = describe(columns[quantity.name], posterior.weights, quantity.circle)._asdict()
        row["unit"] = quantity.unit
        if quantity.name in truth:
            row["truth"] = float(truth[quantity.name])
        table[quantity.name] = row
    return table


def derived_truth(posterior: Posterior) -> dict[str, float]:
    """True values of the derived quantities; empty unless those of all free parameters and all masses are known."""
    needed = [p.name for p in posterior.parameters if p.is_free or p.name.endswith("_mass")]
    if any(name not in posterior.truth for name in needed):
        return {}
    return {name: float(value) for name, value in derived_values(posterior.truth).items()}
