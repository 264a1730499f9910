"""Latent coordinates in which a posterior's sharpest ridges are straight.

Where data pin a few combinations of parameters (the light, the mass within the field) a hundred times better than the
rest, the posterior is a thin sheet, curved because those combinations are not linear in the parameters. What the data
see is nearly linear along it: with the singular vectors u and v of the residuals' Jacobian at the maximum, the shift
g of the sharp directions v that keeps u . residuals where it is, as a function of all other directions, follows the
sheet. (Coordinates of what the data see: Bardsley et al. 2014, SIAM J. Sci. Comput. 36, A1895.) A perceptron gives it,
see `straightening`: z = y + v g(y) preserves volumes whatever g is.
"""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np

from .perceptron import Perceptron, perceptron, zeros
from .problem import Arrays, Problem, Target, in_chunks, log_standard_normal
from .sampled import Sampled, information

SHARP = 4
"""Directions that are straightened."""


class Ridge(NamedTuple):
    """Where a posterior's sharpest ridges run.

    Attributes:
        centre: (ndim,) the maximum.
        sharp: (ndim, SHARP) unit vectors across the ridges.
        along: (ndim, ndim - SHARP) the other directions, over the widths of the posterior along them.
        network: its place across them (SHARP,), by the place along them.
    """

    centre: Any
    sharp: Any
    along: Any
    network: Perceptron


class RidgedArrays(NamedTuple):
    """What differs between two galaxies, see `Arrays`, and the ridge."""

    arrays: Arrays
    ridge: Ridge

    @property
    def shift(self) -> jax.Array:
        """Of the periodic coordinates."""
        return self.arrays.shift


@dataclasses.dataclass(frozen=True)
class RidgedTarget:
    """A target in coordinates y in which its ridges are straight, with a standard normal for a prior as before.

    Attributes:
        target: in latent coordinates z.
    """

    target: Target

    @property
    def ndim(self) -> int:
        """Number of free parameters."""
        return self.target.ndim

    def latent(self, y: jax.Array, arrays: RidgedArrays) -> jax.Array:
        """(ndim,) z of y (ndim,)."""
        return y + across(arrays.ridge, y)

    def straight(self, z: jax.Array, arrays: RidgedArrays) -> jax.Array:
        """(ndim,) y of z (ndim,)."""
        return z - across(arrays.ridge, z)

    def latent_log_likelihood(self, y: jax.Array, arrays: RidgedArrays) -> jax.Array:
        """Log-likelihood less its offset, plus what makes a standard normal in y of the prior, at y (ndim,)."""
        z = self.latent(y, arrays)
        value = self.target.latent_log_likelihood(z, arrays.arrays) + log_standard_normal(z) - log_standard_normal(y)
        return jnp.where(jnp.isfinite(value), value, -jnp.inf)

    def residuals(self, y: jax.Array, arrays: RidgedArrays) -> jax.Array:
        """Those at y (ndim,), see `Target.residuals`: volumes are preserved."""
        return self.target.residuals(self.latent(y, arrays), arrays.arrays)


def across(ridge: Ridge, place: jax.Array) -> jax.Array:
    """(ndim,) how far the ridges are from straight, by the directions along them, in which y and z agree."""
    return ridge.sharp @ perceptron(ridge.network, (place - ridge.centre) @ ridge.along)


def straight_ridge(ndim: int, dtype: jnp.dtype) -> Ridge:
    """A ridge that is straight to begin with, of the shapes of all others."""
    wide = max(ndim - SHARP, 0)
    ridge = Ridge(np.zeros(ndim), np.zeros((ndim, SHARP)), np.zeros((ndim, wide)), zeros((), wide, SHARP))
    return _on_device(ridge, dtype)


def _on_device(ridge: Ridge, dtype: jnp.dtype) -> Ridge:
    return jax.tree.map(lambda a: jnp.asarray(a, dtype), ridge)


def along(problem: Problem, ridge: Ridge) -> Problem:
    """The problem in coordinates in which a ridge is straight."""
    # Of a target and its arrays, samplers ask for no more than these have.
    target = RidgedTarget(problem.target)
    arrays = RidgedArrays(problem.arrays, _on_device(ridge, problem.arrays.shift.dtype))
    return dataclasses.replace(problem, target=cast(Any, target), arrays=cast(Any, arrays))


def ridge_of(problem: Problem) -> Ridge | None:
    """What a problem was straightened by, None if it was not."""
    arrays: Any = problem.arrays
    return arrays.ridge if isinstance(arrays, RidgedArrays) else None


def straight(problem: Problem, z: np.ndarray) -> np.ndarray:
    """Latent vectors (m, ndim) in the coordinates of a problem that may be straightened."""
    ridge, dtype = ridge_of(problem), problem.arrays.shift.dtype
    return z if ridge is None else in_chunks(partial(_straight, ridge), z, dtype)


@jax.jit
def _straight(ridge: Ridge, z: jax.Array) -> jax.Array:
    return jax.lax.map(lambda row: row - across(ridge, row), z)


def bent_back(problem: Problem, sampled: Sampled) -> Sampled:
    """Samples of a problem that may be straightened, in latent coordinates and with the likelihood proper."""
    ridge = ridge_of(problem)
    if ridge is None:
        return sampled
    z = in_chunks(partial(_latent, ridge), sampled.z, problem.arrays.shift.dtype)
    # Volumes are preserved: what was added to the likelihood is the difference of the priors.
    log_likelihood = sampled.log_likelihood + 0.5 * np.sum(z**2 - sampled.z**2, axis=1)
    evidence = sampled.log_evidence
    return dataclasses.replace(
        sampled,
        z=z,
        log_likelihood=log_likelihood,
        information=None if evidence is None else information(sampled.log_weights, log_likelihood, evidence),
    )


@jax.jit
def _latent(ridge: Ridge, y: jax.Array) -> jax.Array:
    return jax.lax.map(lambda row: row + across(ridge, row), y)
