"""The parameters of a galaxy: names, units, labels, and whether each is free, fixed or tied.

Units inside the model: kpc, km/s, solar masses and luminosities, radian.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from functools import cached_property

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist

from .errors import InputError, unknown_name
from .shown import Shown

_NEGLIGIBLE = 0.01
"""Share of a prior that may reach beyond a parameter's limits: the tails of a Gaussian."""


@dataclasses.dataclass(frozen=True)
class Parameter:
    """One number the model needs.

    Exactly one of `prior` (free), `value` (fixed) and `tied` (equal to another parameter, by name) is set.

    Attributes:
        name: how the parameter is called in files, configurations and results.
        unit: its unit inside the model, in astropy's notation, "" if dimensionless.
        label: its symbol for figures, in matplotlib's mathtext.
        description: what it is, in a few words.
        prior: NumPyro distribution with a scalar event and an inverse cumulative distribution function (`icdf`).
        value: the fixed value, in `unit`.
        tied: name of the parameter whose value is used.
        periodic: whether it is an angle [rad], the same after a whole turn.
        limits: what the model is made for, in `unit`; no prior and no value may lie beyond.
    """

    name: str
    unit: str
    label: str
    description: str = ""
    prior: dist.Distribution | None = None
    value: float | None = None
    tied: str | None = None
    periodic: bool = False
    limits: tuple[float, float] = (-math.inf, math.inf)

    def __post_init__(self) -> None:
        given = [k for k in ("prior", "value", "tied") if getattr(self, k) is not None]
        if len(given) != 1:
            raise InputError(
                f"parameter {self.name!r} needs exactly one of prior, value and tied; got {given or 'none of them'}"
            )
        if self.value is not None and not math.isfinite(self.value):
            raise InputError(f"parameter {self.name!r} is fixed at {self.value}; a finite number is needed")
        if self.prior is not None and not isinstance(self.prior, dist.Distribution):
            raise InputError(f"prior of {self.name} is {self.prior!r}; a NumPyro distribution is needed")
        if self.value is not None:
            self.check(self.value)
        if self.prior is not None:
            low, high = bounds(self.prior)
            # Reversed bounds are told as such, where priors are put together.
            if low < high and not (self._allows(low) and self._allows(high)) and self._share_beyond() > _NEGLIGIBLE:
                raise InputError(
                    f"prior of {self.name} reaches from {low:g} to {high:g}; {self._allowed} is allowed, see its limits"
                )

    def check(self, value: float) -> None:
        """Raises InputError if `value`, in the parameter's unit, is outside the limits."""
        if not self._allows(value):
            raise InputError(f"{self.name} = {value:g}; {self._allowed} is allowed")

    def _share_beyond(self) -> float:
        """Of the prior, of what is beyond the limits; all of it where that cannot be told."""
        assert self.prior is not None
        try:
            below, above = (float(self.prior.cdf(jnp.asarray(limit))) for limit in self.limits)
        except (AttributeError, NotImplementedError):
            return 1.0
        return below + 1 - above

    def _allows(self, value: float) -> bool:
        # Single precision may have moved a bound by a rounding.
        margin = 1e-6
        return self.limits[0] - margin <= value <= self.limits[1] + margin

    @property
    def _allowed(self) -> str:
        return f"a number from {self.limits[0]:g} to {self.limits[1]:g}"

    @property
    def is_free(self) -> bool:
        """Whether the parameter is sampled."""
        return self.prior is not None

    @property
    def circle(self) -> tuple[float, float] | None:
        """(lower end, period) if the prior's two ends are the same point, else None."""
        if self.prior is None or not self.periodic:
            return None
        low, high = bounds(self.prior)
        # Relative to a turn, what single precision leaves of pi.
        return (low, high - low) if math.isclose(high - low, 2 * math.pi, rel_tol=1e-6) else None

    def signature(self) -> tuple:
        """A hashable stand-in that is equal for equal parameters (NumPyro distributions compare by identity)."""
        return (self.name, distribution_signature(self.prior), self.value, self.tied, self.periodic)


@dataclasses.dataclass(frozen=True)
class Order:
    """A restriction of the prior to `smaller` < `larger`, for each name in `smaller`.

    Two discs with the same prior can trade places; an order between their radii makes the posterior identifiable.
    """

    smaller: tuple[str, ...]
    larger: str


@dataclasses.dataclass(frozen=True, eq=False)
class Parameters(Shown):
    """The parameters of a model, in order, with the orders imposed between them.

    An ordered collection of `Parameter` objects that cannot be changed: `for p in parameters` goes through them,
    `parameters["inclination"]` looks one up by name, and `"inclination" in parameters` asks whether it is there. Two
    sets with the same content are equal and hash equally, so that programs compiled for one serve the other.

    Attributes:
        items: each with a name of its own.
        orders: restrictions of the prior.

    Raises:
        InputError: a name that comes twice, or a tie to a parameter that is tied itself or not there.
    """

    items: tuple[Parameter, ...]
    orders: tuple[Order, ...] = ()

    def __post_init__(self) -> None:
        names = [p.name for p in self.items]
        if len(set(names)) != len(names):
            raise InputError(f"parameter names must differ; got {sorted(n for n in names if names.count(n) > 1)} twice")
        for p in self.items:
            if p.tied is not None and (p.tied not in names or self[p.tied].tied is not None):
                raise InputError(
                    f"parameter {p.name!r} is tied to {p.tied!r}; allowed are free or fixed parameters of the model"
                )

    @cached_property
    def signature(self) -> tuple:
        """Hashable content; kept, since every call of a compiled program asks for it."""
        return (tuple(p.signature() for p in self.items), self.orders)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Parameters) and self.signature == other.signature

    def __hash__(self) -> int:
        return hash(self.signature)

    def __iter__(self) -> Iterator[Parameter]:
        return iter(self.items)

    def __contains__(self, name: object) -> bool:
        return any(p.name == name for p in self.items)

    def __getitem__(self, name: str) -> Parameter:
        for p in self.items:
            if p.name == name:
                return p
        raise InputError(unknown_name(name, [p.name for p in self.items], "parameter"))

    @property
    def free(self) -> tuple[Parameter, ...]:
        """The sampled parameters, in the order of the flat vector."""
        return tuple(p for p in self.items if p.is_free)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the free parameters, in the order of the flat vector."""
        return tuple(p.name for p in self.free)

    @property
    def priors(self) -> tuple[dist.Distribution, ...]:
        """Priors of the free parameters, in the order of the flat vector, as if there were no orders."""
        return tuple(p.prior for p in self.items if p.prior is not None)

    @property
    def ndim(self) -> int:
        """Number of free parameters."""
        return len(self.free)

    def replace(
        self, name: str, *, prior: dist.Distribution | None = None, value: float | None = None, tied: str | None = None
    ) -> Parameters:
        """A copy in which `name` is free with another `prior`, fixed at a `value`, or `tied` to another parameter.

        Numbers are in the parameter's unit.

        Raises:
            InputError: unknown name, or not exactly one of the three is given.
        """
        new = dataclasses.replace(self[name], prior=prior, value=value, tied=tied)
        return dataclasses.replace(self, items=tuple(new if p.name == name else p for p in self.items))

    def complete(self, vector: jax.Array) -> dict[str, jax.Array]:
        """All values by name, from the free ones.

        Args:
            vector: (ndim,) values of the free parameters, in the units of the model.

        Returns:
            name -> scalar, fixed and tied parameters included. Works under jit, vmap and grad.
        """
        values = {name: vector[i] for i, name in enumerate(self.names)}
        for p in self.items:
            if p.value is not None:
                values[p.name] = jnp.asarray(p.value, vector.dtype)
        for p in self.items:
            if p.tied is not None:
                values[p.name] = values[p.tied]
        return values

    def flatten(self, values: Mapping[str, float]) -> np.ndarray:
        """(ndim,) float64 vector of the free parameters, from `values` in the units of the model that hold them all.

        Raises:
            InputError: a free parameter is missing or not a finite number.
        """
        missing = [n for n in self.names if n not in values]
        if missing:
            raise InputError(f"no value for {', '.join(missing)}; all of {', '.join(self.names)} are needed")
        vector = np.array([values[n] for n in self.names], dtype=np.float64)
        for name, value in zip(self.names, vector, strict=True):
            if not np.isfinite(value):
                raise InputError(f"{name} = {value}; a finite number is needed")
        return vector


def components_of(parameters: Parameters) -> tuple[str, ...]:
    """The components that the standard ones among `parameters` describe."""
    described = (c for c in COMPONENT_NAMES if any(_OWNER.get(p.name) == c for p in parameters))
    return tuple(THICK + c if _THICKNESS + c in parameters else c for c in described)


def disc_pairs(parameters: Parameters) -> tuple[tuple[str, str], ...]:
    """Names of the free parameters that both discs have: the inner disc's and the outer disc's."""
    inner, outer = _DISCS
    pairs = ((name, name.replace(inner, outer)) for name in parameters.names if inner in name)
    return tuple(pair for pair in pairs if pair[1] in parameters.names)


def check_values(values: Mapping[str, float]) -> None:
    """Raises InputError if one of the standard parameters has a value for which the model is not made."""
    edge_on = _all_thick(
        [c for c in _DISCS if f"log10_{c}_mass" in values], [c for c in _DISCS if _THICKNESS + c in values]
    )
    for p in _DEFAULTS:
        if p.name in values:
            (_TO_EDGE_ON if edge_on and p.name == _TO_EDGE_ON.name else p).check(float(values[p.name]))


def farthest_from_default(values: Mapping[str, float]) -> str:
    """The value that lies farthest outside its default prior, as a phrase for a message."""
    known = [p for p in _DEFAULTS if p.prior is not None and p.name in values]
    if not known:
        return ", ".join(values)

    def distance(p: Parameter) -> float:
        low, high = bounds(p.prior)
        return max(low - values[p.name], values[p.name] - high) / (high - low)

    p = max(known, key=distance)
    low, high = bounds(p.prior)
    return f"{p.name} = {values[p.name]:g}, usually from {low:g} to {high:g}"


def bounds(distribution: dist.Distribution) -> tuple[float, float]:
    """Lower and upper end of a prior's support, infinite where it has none."""
    support = distribution.support
    return float(getattr(support, "lower_bound", -math.inf)), float(getattr(support, "upper_bound", math.inf))


def distribution_signature(distribution: dist.Distribution | None) -> tuple:
    """A hashable stand-in that is equal for equal distributions, in this process and in any other.

    Made of the arguments by name: flattened, a distribution lists its fields in an order that differs between
    processes, and with them what it has happened to cache.
    """
    if distribution is None:
        return ()
    fields = sorted(f for f in type(distribution).gather_pytree_data_fields() if not f.startswith("_"))
    return (type(distribution), tuple((f, _content(getattr(distribution, f, None))) for f in fields))


def _content(argument: object) -> tuple:
    if isinstance(argument, dist.Distribution):
        return distribution_signature(argument)
    leaves, structure = jax.tree_util.tree_flatten(argument)
    return (str(structure), *(float(x) for leaf in leaves for x in np.ravel(leaf)))


def default_parameters(components: tuple[str, ...] = ("bulge", "disc1", "disc2", "halo")) -> Parameters:
    """The standard parameters and priors of a model made of `components` (18 for bulge, two discs and halo).

    Default priors: the box of Rigamonti et al. (2022, MNRAS 513, 6111, table 1), with the bulge's inner slope added,
    and the order R_b, R_d1 < R_d2 that keeps the discs from trading places. A thick disc adds its thickness,
    and where all discs are thick, inclinations reach 90 degrees. The nuisance parameter `systemic_velocity` is there
    too, fixed at 0 km/s; `JITTER` can be appended.

    Args:
        components: any subset of bulge, disc1, disc2 and halo, at least one of them luminous; thick_disc1 and
            thick_disc2 in place of disc1 and disc2 for discs with a thickness.

    Raises:
        InputError: no tuple of names, an unknown component, one twice, or no luminous one.
    """
    if not isinstance(components, list | tuple) or not all(isinstance(name, str) for name in components):
        raise InputError(f"components is {components!r}; a tuple of names is needed, as ('disc1', 'halo')")
    for c in components:
        if c not in ALL_COMPONENTS:
            raise InputError(unknown_name(c, list(ALL_COMPONENTS), "component"))
    plain = [c.removeprefix(THICK) for c in components]
    for c in plain:
        if plain.count(c) > 1:
            raise InputError(f"a model of {', '.join(components)} has {c} twice; leave one out")
    stellar = [c for c in COMPONENT_NAMES if c in plain and c != "halo"]
    if not stellar:
        raise InputError(
            f"a model of {', '.join(components) or 'nothing'} has no light; add at least one of bulge, disc1, disc2"
        )
    thick = [c.removeprefix(THICK) for c in components if c.startswith(THICK)]
    owners = ("galaxy", *plain, *(_THICKNESS + c for c in thick))
    chosen = [p for p in _DEFAULTS if _OWNER.get(p.name, "galaxy") in owners]
    if _all_thick([c for c in _DISCS if c in plain], thick):
        chosen = [_TO_EDGE_ON if p.name == _TO_EDGE_ON.name else p for p in chosen]
    radii = [_RADIUS[c] for c in stellar]
    orders = (Order(tuple(radii[:-1]), radii[-1]),) if len(radii) > 1 and stellar[-1] != "bulge" else ()
    return Parameters(tuple(chosen), orders)


def _all_thick(discs: list[str], thick: list[str]) -> bool:
    return bool(discs) and set(discs) == set(thick)


def _uniform(low: float, high: float) -> dist.Distribution:
    return dist.Uniform(low, high, validate_args=False)


THICK = "thick_"
"""Before a disc's name: `thick_disc1` is the component that takes the place of `disc1`."""
COMPONENT_NAMES = ("bulge", "disc1", "disc2", "halo")
_DISCS = ("disc1", "disc2")
ALL_COMPONENTS = (*COMPONENT_NAMES, *(THICK + c for c in _DISCS))
_THICKNESS = "thickness_"
THICKNESSES = tuple(_THICKNESS + c for c in _DISCS)
"""Names of the parameters that only thick discs have."""
_RADIUS = {c: f"log10_{c}_radius" for c in ("bulge", "disc1", "disc2")}
_DEFAULTS = (
    Parameter("x0", "kpc", r"$x_0$", "centre, along columns", _uniform(-2, 2)),
    Parameter("y0", "kpc", r"$y_0$", "centre, along rows", _uniform(-2, 2)),
    Parameter(
        "position_angle",
        "rad",
        r"$\phi$",
        "receding side of the major axis, from +x towards +y",
        _uniform(-math.pi, math.pi),
        periodic=True,
    ),
    Parameter(
        "inclination", "rad", r"$i$", "0 is face-on", _uniform(0.1, math.pi / 3), limits=(0.0, math.radians(89.9))
    ),
    Parameter("log10_bulge_mass", "dex(Msun)", r"$\log_{10} M_\mathrm{b}$", "bulge mass", _uniform(8.5, 12)),
    Parameter("log10_bulge_radius", "dex(kpc)", r"$\log_{10} R_\mathrm{b}$", "bulge scale radius", _uniform(-2, 1.5)),
    Parameter("bulge_slope", "", r"$\gamma$", "inner slope of the bulge", _uniform(0, 2.4), limits=(0.0, 2.4)),
    Parameter("log10_disc1_mass", "dex(Msun)", r"$\log_{10} M_\mathrm{d1}$", "inner disc mass", _uniform(8.5, 12)),
    Parameter("log10_disc1_radius", "dex(kpc)", r"$\log_{10} R_\mathrm{d1}$", "inner disc length", _uniform(-2, 1.5)),
    Parameter("log10_disc2_mass", "dex(Msun)", r"$\log_{10} M_\mathrm{d2}$", "outer disc mass", _uniform(8.5, 12)),
    Parameter("log10_disc2_radius", "dex(kpc)", r"$\log_{10} R_\mathrm{d2}$", "outer disc length", _uniform(-2, 1.5)),
    Parameter("log10_halo_fraction", "dex", r"$\log_{10} f$", "halo mass over stellar mass", _uniform(1, 2.7)),
    Parameter("halo_concentration", "", r"$c$", "halo concentration r200/a", _uniform(5, 15), limits=(0.1, 1000.0)),
    Parameter(
        "ml_bulge",
        "Msun / Lsun",
        r"$(M/L)_\mathrm{b}$",
        "bulge mass-to-light ratio",
        _uniform(0.1, 20),
        limits=(1e-3, 1e3),
    ),
    Parameter(
        "ml_disc1",
        "Msun / Lsun",
        r"$(M/L)_\mathrm{d1}$",
        "inner disc mass-to-light ratio",
        _uniform(0.1, 20),
        limits=(1e-3, 1e3),
    ),
    Parameter(
        "ml_disc2",
        "Msun / Lsun",
        r"$(M/L)_\mathrm{d2}$",
        "outer disc mass-to-light ratio",
        _uniform(0.1, 20),
        limits=(1e-3, 1e3),
    ),
    Parameter(
        "k_disc1",
        "",
        r"$k_\mathrm{d1}$",
        "ordered fraction of the inner disc's motion",
        _uniform(0.01, 1),
        limits=(0.0, 1.0),
    ),
    Parameter(
        "k_disc2",
        "",
        r"$k_\mathrm{d2}$",
        "ordered fraction of the outer disc's motion",
        _uniform(0.01, 1),
        limits=(0.0, 1.0),
    ),
    *(
        Parameter(
            _THICKNESS + disc,
            "",
            rf"$q_\mathrm{{{label}}}$",
            f"{which} disc scale height over length",
            _uniform(0.05, 0.4),
            limits=(0.0, 0.5),
        )
        for disc, label, which in (("disc1", "d1", "inner"), ("disc2", "d2", "outer"))
    ),
    Parameter("systemic_velocity", "km / s", r"$v_\mathrm{sys}$", "added to every velocity", value=0.0),
)
_OWNER = {
    p.name: p.name if p.name.startswith(_THICKNESS) else next(c for c in COMPONENT_NAMES if c in p.name)
    for p in _DEFAULTS
    if any(c in p.name for c in COMPONENT_NAMES)
}
_TO_EDGE_ON = dataclasses.replace(
    next(p for p in _DEFAULTS if p.name == "inclination"),
    prior=_uniform(0.1, math.pi / 2),
    limits=(0.0, math.pi / 2),
)

JITTER = Parameter(
    "log10_brightness_jitter", "dex", r"$\log_{10} s_B$", "extra error of the brightness [dex]", _uniform(-4, -0.5)
)
"""Optional nuisance parameter: an error added in quadrature to that of the log10 brightness. Absent by default."""

KNOWN = tuple(p.name for p in (*_DEFAULTS, JITTER))
"""Names of the parameters of all models and likelihoods here."""
