"""The joint prior of a galaxy's parameters, read from its NumPyro distributions as a transform and as a density."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from functools import partial, reduce
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from numpyro.distributions import constraints
from numpyro.distributions.util import validate_sample

from .errors import InputError
from .parameters import Order, Parameters, bounds, distribution_signature

_TABLE_SIZE = 4097


class Isotropic(dist.Distribution):
    """Inclination of a randomly oriented disc: density proportional to sin(i) on [low, high] (radian)."""

    arg_constraints = {"low": constraints.real, "high": constraints.real}
    reparametrized_params = ["low", "high"]

    def __init__(self, low: float, high: float, *, validate_args: bool | None = None) -> None:
        self.low, self.high = low, high
        super().__init__(batch_shape=(), event_shape=(), validate_args=validate_args)

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self):
        """[low, high]."""
        return constraints.interval(self.low, self.high)

    def sample(self, key: jax.Array, sample_shape: tuple[int, ...] = ()) -> jax.Array:
        """Draws, by the inverse of the distribution function."""
        return self.icdf(jax.random.uniform(key, sample_shape))

    @validate_sample
    def log_prob(self, value: jax.Array) -> jax.Array:
        """Log density [1/rad]."""
        low, high = self._ends()
        return jnp.log(jnp.sin(value)) - jnp.log(2 * (high - low))

    def cdf(self, value: jax.Array) -> jax.Array:
        """(cos low - cos i) / (cos low - cos high), in sin^2(i/2), which keeps its digits near face-on."""
        low, high = self._ends()
        return (jnp.sin(jnp.clip(value, self.low, self.high) / 2) ** 2 - low) / (high - low)

    def icdf(self, q: jax.Array) -> jax.Array:
        """Inverse of `cdf`."""
        low, high = self._ends()
        # Next to 0 and pi the slope is infinite; a margin far below any draw keeps gradients finite.
        return 2 * jnp.arcsin(jnp.sqrt(jnp.clip(low + q * (high - low), 1e-12, 1 - 1e-7)))

    def _ends(self) -> tuple[jax.Array, jax.Array]:
        return jnp.sin(self.low / 2) ** 2, jnp.sin(self.high / 2) ** 2


@dataclasses.dataclass(frozen=True, eq=False)
class Prior:
    """Joint prior of the free parameters: independent, but for the orders between some of them.

    An order `smaller` < `larger` restricts the product of the priors to the allowed region, exactly: the larger one is
    drawn from its marginal, density proportional to p(x) prod_j F_j(x), and each smaller one from its own prior cut
    at x. With one uniform prior for all n+1 this is x = lo + (hi-lo) u^(1/(n+1)).

    Raises:
        InputError: reversed bounds, an order that contradicts a fixed value or the priors, one that names tied
            parameters, or two that share a parameter.
    """

    parameters: Parameters
    _marginals: _Marginals = dataclasses.field(init=False, repr=False)
    _orders: tuple[_OrderedGroup, ...] = dataclasses.field(init=False, repr=False)

    def __post_init__(self) -> None:
        for p in self.parameters.free:
            low, high = bounds(p.prior)
            if not low < high:
                raise InputError(f"prior of {p.name} has bounds [{low}, {high}]; the lower must be below the upper")
            _check_inverse(p.name, p.prior)
        ordered = [name for order in self.parameters.orders for name in (*order.smaller, order.larger)]
        for name in ordered:
            if ordered.count(name) > 1:
                raise InputError(f"orders name {name} {ordered.count(name)} times; once is allowed")
        groups = tuple(_OrderedGroup.make(self.parameters, order) for order in self.parameters.orders)
        object.__setattr__(self, "_marginals", _Marginals(self.parameters.priors))
        object.__setattr__(self, "_orders", groups)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Prior) and self.parameters == other.parameters

    def __hash__(self) -> int:
        return hash(self.parameters)

    def __repr__(self) -> str:
        # The content, which identifies a run; NumPyro's distributions would show their addresses.
        return f"Prior{self.parameters.signature}"

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the free parameters, in the order of the flat vector."""
        return self.parameters.names

    @property
    def ndim(self) -> int:
        """Number of free parameters."""
        return self.parameters.ndim

    @property
    def periodic(self) -> np.ndarray:
        """(ndim,) whether the coordinate wraps."""
        return np.array([p.circle is not None for p in self.parameters.free])

    def transform(self, u: jax.Array) -> jax.Array:
        """Unit cube to parameters: uniform u gives draws from the prior.

        Args:
            u: (..., ndim) in [0, 1].

        Returns:
            (..., ndim) in the units of the model. Differentiable.
        """
        return jnp.vectorize(self._transform, signature="(n)->(n)")(u)

    def _transform(self, u: jax.Array) -> jax.Array:
        theta = self._marginals.icdf(reduce(lambda cube, group: group.shares(cube), self._orders, u))
        return reduce(lambda values, group: group.kept(values), self._orders, theta)

    @partial(jax.jit, static_argnums=0)
    def cube(self, theta: jax.Array) -> jax.Array:
        """Inverse of `transform`, (..., ndim) to (..., ndim)."""
        return jnp.vectorize(self._cube, signature="(n)->(n)")(theta)

    def _cube(self, theta: jax.Array) -> jax.Array:
        return reduce(lambda cube, group: group.cube(cube, theta), self._orders, self._marginals.cdf(theta))

    @partial(jax.jit, static_argnums=0)
    def log_density(self, theta: jax.Array) -> jax.Array:
        """Normalised log density at (..., ndim); -inf outside the support."""
        return jnp.vectorize(self._log_density, signature="(n)->()")(theta)

    def _log_density(self, theta: jax.Array) -> jax.Array:
        low, high = jnp.asarray([bounds(prior) for prior in self.parameters.priors], theta.dtype).T
        inside = jnp.all((theta >= low) & (theta <= high))
        total = self._marginals.log_prob(jnp.clip(theta, low, high)).sum()
        for group in self._orders:
            allowed, log_volume = group.restriction(theta)
            inside &= allowed
            total -= log_volume
        return jnp.where(inside, total, -jnp.inf)

    def sample(self, key: jax.Array, n: int) -> jax.Array:
        """(n, ndim) independent draws."""
        return self.transform(jax.random.uniform(key, (n, self.ndim)))


class _Marginals:
    """Independent priors of all columns.

    Those of a kind are evaluated together, at all columns, and taken where they hold: a program then has one piece for
    each kind instead of one for each parameter, and compiles faster.

    Args:
        priors: one for each column.
    """

    def __init__(self, priors: Sequence[dist.Distribution]) -> None:
        kinds: list[list[int]] = []
        for column, prior in enumerate(priors):
            kind = next((kind for kind in kinds if _of_a_kind(priors[kind[0]], prior)), None)
            if kind is None:
                kinds.append([column])
            else:
                kind.append(column)
        self._kinds = [_Kind.make(priors, kind) for kind in kinds]

    def cdf(self, theta: jax.Array) -> jax.Array:
        """Distribution functions at (columns,)."""
        return self._evaluated("cdf", theta)

    def icdf(self, u: jax.Array) -> jax.Array:
        """Their inverses at (columns,)."""
        return self._evaluated("icdf", u)

    def log_prob(self, theta: jax.Array) -> jax.Array:
        """Log densities at (columns,)."""
        return self._evaluated("log_prob", theta)

    def _evaluated(self, what: str, x: jax.Array) -> jax.Array:
        first, *others = self._kinds
        values = first.evaluated(what, x)
        for kind in others:
            values = jnp.where(kind.own, kind.evaluated(what, x), values)
        return values


class _Kind(NamedTuple):
    """Priors that differ in numbers alone.

    Attributes:
        prior: one of them if it is alone, else all as one, with a leading axis of columns.
        own: (columns,) which are of this kind; the others have the numbers of one of them.
        middle: a value that all of them allow at the others' columns.
    """

    prior: dist.Distribution
    own: np.ndarray
    middle: float

    @classmethod
    def make(cls, priors: Sequence[dist.Distribution], columns: Sequence[int]) -> _Kind:
        own = np.isin(np.arange(len(priors)), columns)
        first = priors[columns[0]]
        middle = float(first.icdf(jnp.asarray(0.5)))
        # Not stacked where it is alone: a distribution of somebody's own need not survive that.
        if len(columns) == 1:
            return cls(first, own, middle)
        members = [prior if mine else first for prior, mine in zip(priors, own, strict=True)]
        return cls(jax.tree.map(lambda *leaves: np.stack(list(map(np.asarray, leaves))), *members), own, middle)

    def evaluated(self, what: str, x: jax.Array) -> jax.Array:
        """A method of the distribution at x, (columns,), finite also where it does not hold."""
        x = jnp.where(self.own, x, 0.5 if what == "icdf" else self.middle)
        if self.own.sum() == 1:
            return getattr(self.prior, what)(x)
        numbers = jax.tree.map(lambda leaf: jnp.asarray(leaf, x.dtype), self.prior)
        return jax.vmap(lambda prior, column: getattr(prior, what)(column))(numbers, x)


def _of_a_kind(one: dist.Distribution, other: dist.Distribution) -> bool:
    """Whether two priors differ in numbers alone, which NumPyro's distributions show as a JAX pytree."""
    leaves, structure = jax.tree.flatten(one)
    survives = vars(jax.tree.unflatten(structure, leaves)).keys() == vars(one).keys()
    return survives and bool(structure == jax.tree.structure(other))  # type: ignore[operator]


@dataclasses.dataclass(frozen=True, eq=False)
class _OrderedGroup:
    """One order, resolved.

    Attributes:
        below: at the columns of the free smaller members their priors, without the order.
        above: prior of the larger one, None if it is fixed.
        smaller: (ndim,) which columns are those of the free smaller members.
        larger: column of the larger one, None if it is fixed.
        ceiling: the larger one's fixed value, else infinite.
        floor: the largest of the fixed smaller values, -inf without any.
        table: distribution function of the larger one's marginal, (values, at which share of its own prior); None if
            it is fixed or there is a closed form.
        log_volume: log of the prior probability that the order holds.
    """

    below: _Marginals
    above: dist.Distribution | None
    smaller: np.ndarray
    larger: int | None
    ceiling: float
    floor: float
    table: tuple[np.ndarray, np.ndarray] | None
    log_volume: float

    @classmethod
    def make(cls, parameters: Parameters, order: Order) -> _OrderedGroup:
        members = [parameters[name] for name in (*order.smaller, order.larger)]
        larger = members[-1]
        for p in members:
            if p.tied is not None:
                raise InputError(f"{p.name} is tied and cannot be ordered; drop the order below {order.larger}")
        column = {name: i for i, name in enumerate(parameters.names)}
        smaller = [column[p.name] for p in members[:-1] if p.is_free]
        is_smaller = np.isin(np.arange(parameters.ndim), smaller)
        priors = parameters.priors
        below = _Marginals([prior if i in smaller else priors[(smaller or [i])[0]] for i, prior in enumerate(priors)])
        floor = max((p.value for p in members[:-1] if p.value is not None), default=-math.inf)
        lowest = max([floor, *(bounds(priors[i])[0] for i in smaller)])
        if larger.value is not None:
            if lowest >= larger.value:
                raise InputError(f"{larger.name} is fixed at {larger.value}, not above {lowest}, which its order needs")
            volume = math.prod(float(priors[i].cdf(larger.value)) for i in smaller)
            return cls(below, None, is_smaller, None, larger.value, floor, None, _log_volume(volume, larger.name))
        own = priors[column[larger.name]]
        low, high = bounds(own)
        if lowest >= high:
            raise InputError(f"prior of {larger.name} ends at {high}, not above {lowest}, which its order needs")
        alike = all(distribution_signature(priors[i]) == distribution_signature(own) for i in smaller)
        if alike and floor <= low:
            return cls(below, own, is_smaller, column[larger.name], math.inf, floor, None, -math.log(len(smaller) + 1))
        # On the quantiles of the larger one's own prior, whose tails are then as exact as that prior is.
        cut = float(own.cdf(lowest)) if lowest > low else 0.0
        share = np.linspace(cut, 1.0, _TABLE_SIZE)
        x = own.icdf(jnp.asarray(share))
        density = np.ones(_TABLE_SIZE)
        for i in smaller:
            density *= np.clip(np.asarray(priors[i].cdf(x), dtype=np.float64), 0, 1)
        steps = np.diff(share) * (density[1:] + density[:-1]) / 2
        log_volume = _log_volume(float(steps.sum()), larger.name)
        cumulative = np.concatenate([[0.0], np.cumsum(steps)]) / steps.sum()
        return cls(below, own, is_smaller, column[larger.name], math.inf, floor, (cumulative, share), log_volume)

    def shares(self, u: jax.Array) -> jax.Array:
        """Of a point (ndim,) of the cube, the members' coordinates as distribution functions of their own priors."""
        top = self._top(u)
        if self.above is not None:
            share = self._share(top)
            top = jnp.maximum(self.above.icdf(share), self.floor)
            u = jnp.where(self._is_larger, share, u)
        return jnp.where(self.smaller, u * jnp.clip(self._cut(top), 0, 1), u)

    def kept(self, theta: jax.Array) -> jax.Array:
        """Draws (ndim,) whose rounding carries none below the fixed members or above the larger one."""
        theta = jnp.where(self._is_larger, jnp.maximum(theta, self.floor), theta)
        return jnp.where(self.smaller, jnp.minimum(theta, self._top(theta)), theta)

    def cube(self, shares: jax.Array, theta: jax.Array) -> jax.Array:
        """Inverse of `shares`, given the parameters too."""
        if self.larger is not None:
            shares = jnp.where(self._is_larger, self._cumulative(shares[self.larger]), shares)
        return jnp.where(self.smaller, shares / jnp.clip(self._cut(self._top(theta)), 1e-30, 1), shares)

    def restriction(self, theta: jax.Array) -> tuple[jax.Array, float]:
        """Whether the order holds, and the log of the prior probability that it does."""
        top = self._top(theta)
        below = jnp.all(jnp.where(self.smaller, theta <= top, True))
        return below & (top >= self.floor), self.log_volume

    @property
    def _is_larger(self) -> np.ndarray:
        return np.arange(self.smaller.size) == (-1 if self.larger is None else self.larger)

    def _top(self, columns: jax.Array) -> jax.Array:
        """The column of the larger one, scalar; its value if it is fixed."""
        return jnp.asarray(self.ceiling, columns.dtype) if self.larger is None else columns[self.larger]

    def _cut(self, top: jax.Array) -> jax.Array:
        """The smaller ones' distribution functions where the order cuts them, (ndim,)."""
        return self.below.cdf(jnp.full(self.smaller.shape, top))

    def _share(self, u: jax.Array) -> jax.Array:
        """Distribution function of the larger one's own prior, where that of its marginal is u."""
        if self.table is not None:
            cumulative, share = (jnp.asarray(a, u.dtype) for a in self.table)
            return jnp.interp(u, cumulative, share)
        # The root's slope is infinite at 0; a floor far below any draw keeps gradients finite.
        return jnp.maximum(u, 1e-12) ** (1 / (self.smaller.sum() + 1))

    def _cumulative(self, share: jax.Array) -> jax.Array:
        """Inverse of `_share`."""
        if self.table is not None:
            cumulative, shares = (jnp.asarray(a, share.dtype) for a in self.table)
            return jnp.interp(share, shares, cumulative)
        return share ** (self.smaller.sum() + 1)


def _check_inverse(name: str, prior: dist.Distribution) -> None:
    try:
        middle = float(prior.icdf(jnp.asarray(0.5)))
    # Some kinds lack it, others need packages that are not there, and others are not scalar.
    except Exception as error:
        raise InputError(
            f"prior of {name} is {type(prior).__name__}, whose inverse distribution function (icdf) cannot be had"
            f" ({error or type(error).__name__}); a scalar distribution with one is needed"
        ) from error
    if not math.isfinite(middle):
        raise InputError(f"prior of {name}, {type(prior).__name__}, has the median {middle}; a finite one is needed")


def _log_volume(volume: float, larger: str) -> float:
    if not volume > 0:
        raise InputError(f"the priors leave no room for the order below {larger}")
    return math.log(volume)
