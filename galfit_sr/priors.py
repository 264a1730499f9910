"""The joint prior of a galaxy's parameters, read from its NumPyro distributions as a transform and as a density."""

from __future__ import annotations

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from numpyro.distributions import constraints
from numpyro.distributions.util import validate_sample

from .errors import InputError
from .parameters import Order, Parameters

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
        return jnp.log(jnp.sin(value)) - jnp.log(jnp.cos(self.low) - jnp.cos(self.high))

    def cdf(self, value: jax.Array) -> jax.Array:
        """(cos low - cos i) / (cos low - cos high)."""
        return (jnp.cos(self.low) - jnp.cos(value)) / (jnp.cos(self.low) - jnp.cos(self.high))

    def icdf(self, q: jax.Array) -> jax.Array:
        """Inverse of `cdf`."""
        return jnp.arccos(jnp.cos(self.low) + q * (jnp.cos(self.high) - jnp.cos(self.low)))


def bounds(distribution: dist.Distribution) -> tuple[float, float]:
    """Lower and upper end of a prior's support, infinite where it has none."""
    support = distribution.support
    return tuple(
        float(getattr(support, name, default))
        for name, default in (("lower_bound", -math.inf), ("upper_bound", math.inf))
    )


@dataclasses.dataclass(frozen=True, eq=False)
class Prior:
    """Joint prior of the free parameters: independent, but for the orders between some of them.

    An order `smaller` < `larger` restricts the product of the priors to the allowed region, exactly: the larger one is
    drawn from its marginal, density proportional to p(x) prod_j F_j(x), and each smaller one from its own prior cut at x.
    With one uniform prior for all n+1 this is x = lo + (hi-lo) u^(1/(n+1)).

    Raises:
        InputError: an order that a fixed value contradicts, or that names tied parameters.
    """

    parameters: Parameters

    def __post_init__(self) -> None:
        for p in self.parameters.free:
            low, high = bounds(p.prior)
            if not low < high:
                raise InputError(f"prior of {p.name} has bounds [{low}, {high}]; the lower must be below the upper")
        object.__setattr__(
            self, "_orders", tuple(_OrderedGroup.make(self.parameters, o) for o in self.parameters.orders)
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Prior) and self.parameters == other.parameters

    def __hash__(self) -> int:
        return hash(self.parameters)

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
        return np.array([p.periodic for p in self.parameters.free])

    def transform(self, u: jax.Array) -> jax.Array:
        """Unit cube to parameters: uniform u gives draws from the prior.

        Args:
            u: (..., ndim) in [0, 1].

        Returns:
            (..., ndim) in the units of the model. Differentiable.
        """
        columns = [p.prior.icdf(u[..., i]) for i, p in enumerate(self.parameters.free)]
        for group in self._orders:
            group.transform(u, columns)
        return jnp.stack(columns, axis=-1)

    def cube(self, theta: jax.Array) -> jax.Array:
        """Inverse of `transform`, (..., ndim) to (..., ndim)."""
        columns = [p.prior.cdf(theta[..., i]) for i, p in enumerate(self.parameters.free)]
        for group in self._orders:
            group.cube(theta, columns)
        return jnp.stack(columns, axis=-1)

    def log_density(self, theta: jax.Array) -> jax.Array:
        """Normalised log density at (..., ndim); -inf outside the support."""
        total = jnp.zeros(theta.shape[:-1], theta.dtype)
        inside = jnp.ones(theta.shape[:-1], bool)
        for i, p in enumerate(self.parameters.free):
            low, high = bounds(p.prior)
            inside &= (theta[..., i] >= low) & (theta[..., i] <= high)
            total += p.prior.log_prob(jnp.clip(theta[..., i], low, high))
        for group in self._orders:
            allowed, log_volume = group.restriction(theta)
            inside &= allowed
            total -= log_volume
        return jnp.where(inside, total, -jnp.inf)

    def sample(self, key: jax.Array, n: int) -> jax.Array:
        """(n, ndim) independent draws."""
        return self.transform(jax.random.uniform(key, (n, self.ndim)))


@dataclasses.dataclass(frozen=True, eq=False)
class _OrderedGroup:
    """One order, resolved: which columns are restricted, and the table of the larger one's marginal.

    `larger` and `smaller` are column indices of the free members. `floor` is the largest fixed smaller value, `ceiling`
    the fixed larger one. `table` is (u, x) of the marginal distribution function, or None for the closed form.
    """

    priors: tuple[dist.Distribution, ...]
    larger: int | None
    smaller: tuple[int, ...]
    ceiling: float | None
    table: tuple[np.ndarray, np.ndarray] | None
    span: tuple[float, float] | None
    log_volume: float

    @classmethod
    def make(cls, parameters: Parameters, order: Order) -> _OrderedGroup:
        members = [parameters[name] for name in (*order.smaller, order.larger)]
        tied = [p.name for p in members if p.tied is not None]
        if tied:
            raise InputError(
                f"{tied[0]} is tied and cannot be ordered; drop the order {order.smaller} < {order.larger}"
            )
        fixed = [p.value for p in members[:-1] if p.value is not None]
        larger = members[-1]
        free = [p for p in members[:-1] if p.is_free]
        columns = {p.name: i for i, p in enumerate(parameters.free)}
        priors = tuple(p.prior for p in parameters.free)
        smaller = tuple(columns[p.name] for p in free)
        floor = max(fixed, default=-math.inf)
        lowest = max([floor, *(bounds(p.prior)[0] for p in free)])
        if larger.value is not None:
            if lowest >= larger.value:
                raise InputError(f"{larger.name} is fixed at {larger.value}, not above {lowest}, which its order needs")
            volume = sum(float(jnp.log(p.prior.cdf(larger.value))) for p in free)
            return cls(priors, None, smaller, larger.value, None, None, volume)
        low, high = bounds(larger.prior)
        if lowest >= high:
            raise InputError(f"prior of {larger.name} ends at {high}, not above {lowest}, which its order needs")
        column = columns[larger.name]
        same = all(isinstance(p.prior, dist.Uniform) and bounds(p.prior) == (low, high) for p in (*free, larger))
        if same and floor <= low:
            return cls(priors, column, smaller, None, None, (low, high), -math.log(len(free) + 1))
        # No closed form: tabulate the marginal on the larger one's quantiles, float64 whatever the caller's default.
        cut = float(larger.prior.cdf(max(lowest, low))) if np.isfinite(lowest) else 0.0
        q = np.linspace(cut, 1.0, _TABLE_SIZE)
        x = np.asarray(larger.prior.icdf(q), dtype=np.float64)
        density = np.prod([np.asarray(p.prior.cdf(x), dtype=np.float64).clip(0, 1) for p in free], axis=0)
        steps = np.diff(q) * (density[1:] + density[:-1]) / 2
        volume = float(steps.sum())
        if not volume > 0:
            raise InputError(f"the order {order.smaller} < {order.larger} leaves no room in the priors")
        cumulative = np.concatenate([[0.0], np.cumsum(steps)]) / volume
        finite = np.isfinite(x)
        return cls(priors, column, smaller, None, (cumulative[finite], x[finite]), None, math.log(volume))

    def transform(self, u: jax.Array, columns: list[jax.Array]) -> None:
        """Overwrites the members' columns (prior draws) with ordered ones."""
        if self.larger is None:
            top = self.ceiling
        else:
            top = self._larger_icdf(u[..., self.larger])
            columns[self.larger] = top
        for i in self.smaller:
            columns[i] = self.priors[i].icdf(u[..., i] * jnp.clip(self.priors[i].cdf(top), 0, 1))

    def cube(self, theta: jax.Array, columns: list[jax.Array]) -> None:
        """Overwrites the members' columns (independent distribution functions) with ordered ones."""
        top = self.ceiling if self.larger is None else theta[..., self.larger]
        for i in self.smaller:
            columns[i] = columns[i] / jnp.clip(self.priors[i].cdf(top), 1e-30, 1)
        if self.larger is not None:
            columns[self.larger] = self._larger_cdf(top)

    def restriction(self, theta: jax.Array) -> tuple[jax.Array, float]:
        """Whether the order holds, and the log of the prior probability that it does."""
        top = self.ceiling if self.larger is None else theta[..., self.larger]
        allowed = jnp.ones(theta.shape[:-1], bool)
        for i in self.smaller:
            allowed &= theta[..., i] <= top
        if self.table is not None:
            allowed &= top >= self.table[1][0]
        return allowed, self.log_volume

    def _larger_icdf(self, u: jax.Array) -> jax.Array:
        if self.table is not None:
            cumulative, x = (jnp.asarray(a, u.dtype) for a in self.table)
            return jnp.interp(u, cumulative, x)
        low, high = self.span
        # The root's slope is infinite at 0; a floor far below any draw keeps gradients finite.
        return low + (high - low) * jnp.maximum(u, 1e-12) ** (1 / (len(self.smaller) + 1))

    def _larger_cdf(self, x: jax.Array) -> jax.Array:
        if self.table is not None:
            cumulative, knots = (jnp.asarray(a, x.dtype) for a in self.table)
            return jnp.interp(x, knots, cumulative)
        low, high = self.span
        return ((x - low) / (high - low)) ** (len(self.smaller) + 1)
