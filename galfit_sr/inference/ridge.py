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

from .perceptron import Perceptron, perceptron
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
        return y + _across(arrays.ridge, y)

    def straight(self, z: jax.Array, arrays: RidgedArrays) -> jax.Array:
        """(ndim,) y of z (ndim,)."""
        return z - _across(arrays.ridge, z)

    def latent_log_likelihood(self, y: jax.Array, arrays: RidgedArrays) -> jax.Array:
        """Log-likelihood less its offset, plus what makes a standard normal in y of the prior, at y (ndim,)."""
        z = self.latent(y, arrays)
        value = self.target.latent_log_likelihood(z, arrays.arrays) + log_standard_normal(z) - log_standard_normal(y)
        return jnp.where(jnp.isfinite(value), value, -jnp.inf)


def _across(ridge: Ridge, place: jax.Array) -> jax.Array:
    """(ndim,) how far the ridges are from straight, by the directions along them, in which y and z agree."""
    return ridge.sharp @ perceptron(ridge.network, (place - ridge.centre) @ ridge.along)


def along(problem: Problem, ridge: Ridge) -> Problem:
    """The problem in coordinates in which a ridge is straight."""
    # Of a target and its arrays, samplers ask for no more than these have.
    target, arrays = RidgedTarget(problem.target), RidgedArrays(problem.arrays, ridge)
    return dataclasses.replace(problem, target=cast(Any, target), arrays=cast(Any, arrays))


def ridge_of(problem: Problem) -> Ridge | None:
    """What a problem was straightened by, None if it was not."""
    arrays: Any = problem.arrays
    return arrays.ridge if isinstance(arrays, RidgedArrays) else None


def bent_back(problem: Problem, sampled: Sampled) -> Sampled:
    """Samples of a problem that may be straightened, in latent coordinates and with the likelihood proper."""
    if ridge_of(problem) is None:
        return sampled
    target, arrays = problem.target, problem.arrays
    z = in_chunks(lambda rows: _latent(cast(Any, target), rows, cast(Any, arrays)), sampled.z, arrays.shift.dtype)
    # Volumes are preserved: what was added to the likelihood is the difference of the priors.
    log_likelihood = sampled.log_likelihood + 0.5 * np.sum(z**2 - sampled.z**2, axis=1)
    evidence = sampled.log_evidence
    return dataclasses.replace(
        sampled,
        z=z,
        log_likelihood=log_likelihood,
        information=None if evidence is None else information(sampled.log_weights, log_likelihood, evidence),
    )


@partial(jax.jit, static_argnums=0)
def _latent(target: RidgedTarget, y: jax.Array, arrays: RidgedArrays) -> jax.Array:
    """z (m, ndim) of y."""
    return jax.lax.map(lambda row: target.latent(row, arrays), y)
