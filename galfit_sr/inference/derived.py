"""What people ask of a galaxy, from what the model samples: angles in degrees, total masses, fractions."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..parameters import COMPONENT_NAMES, Parameter, Parameters
from .statistics import describe

if TYPE_CHECKING:
    from .results import Posterior

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

    @property
    def period(self) -> float | None:
        """Of a periodic quantity, in its unit; None on the line."""
        return None if self.circle is None else self.circle[1]


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


_DEGREES = {q.needs: q for q in QUANTITIES if q.unit == "deg"}


def shown_quantities(parameters: Parameters) -> tuple[Quantity, ...]:
    """What tables and figures show of each free parameter, in their order: angles in degrees as people use them
    (`position_angle_deg`, `inclination_deg`), every other as it is in the model."""
    return tuple(_DEGREES.get((p.name,)) or _itself(p) for p in parameters.free)


def _itself(parameter: Parameter) -> Quantity:
    name = parameter.name
    return Quantity(
        name, parameter.unit, parameter.label, parameter.description, (name,), lambda v: v[name], parameter.circle
    )


def shown_summary(posterior: Posterior) -> dict[str, dict[str, Any]]:
    """The rows of `Posterior.summary`."""
    shown = shown_quantities(posterior.parameters)
    return _summary(posterior, shown, known_truth(posterior, shown))


def parameter_summary(posterior: Posterior) -> dict[str, dict[str, Any]]:
    """As `Posterior.summary`, but by the names and in the units of the model: `position_angle` and `inclination`
    in radian."""
    own = [_itself(p) for p in posterior.parameters.free]
    return _summary(posterior, own, known_truth(posterior, own))


def known_truth(posterior: Posterior, quantities: Iterable[Quantity]) -> dict[str, float]:
    """Name -> true value of those quantities for which all that they need is known."""
    truth = posterior.truth
    return {q.name: float(q.compute(truth)) for q in quantities if set(q.needs) <= truth.keys()}


def _summary(
    posterior: Posterior, quantities: Iterable[Quantity], truth: Mapping[str, float]
) -> dict[str, dict[str, Any]]:
    columns = posterior.columns()
    table = {}
    for quantity in quantities:
        row: dict[str, Any] = describe(quantity.compute(columns), posterior.weights, quantity.circle)._asdict()
        row["unit"] = quantity.unit
        if quantity.name in truth:
            row["truth"] = truth[quantity.name]
        table[quantity.name] = row
    return table


def determined(names: Collection[str]) -> list[Quantity]:
    """Those of `QUANTITIES` that parameters of these names determine."""
    luminous = any(f"log10_{c}_mass" in names for c in _STARS)
    return [q for q in QUANTITIES if (q.needs or luminous) and all(name in names for name in q.needs)]


def derived_values(values: Values) -> dict[str, Any]:
    """Name -> number for each of `QUANTITIES` that the values (scalars or arrays, by parameter name) determine."""
    return {q.name: q.compute(values) for q in determined(values.keys())}


def derived_summary(posterior: Posterior) -> dict[str, dict[str, Any]]:
    """Derived quantity -> mean, std, quantiles, unit, truth where known; as `Posterior.summary`."""
    return _summary(posterior, determined([p.name for p in posterior.parameters]), derived_truth(posterior))


def derived_truth(posterior: Posterior) -> dict[str, float]:
    """True values of the derived quantities; empty unless those of all free parameters and all masses are known."""
    needed = [p.name for p in posterior.parameters if p.is_free or p.name.endswith("_mass")]
    if any(name not in posterior.truth for name in needed):
        return {}
    return {name: float(value) for name, value in derived_values(posterior.truth).items()}
