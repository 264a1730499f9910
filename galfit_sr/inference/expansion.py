"""A posterior around a mode in microseconds: residuals as quadratic functions of the latent coordinates.

Over a posterior the residuals of tens of thousands of pixels vary along hardly more directions than there are
parameters, and smoothly, however bent the posterior is in the parameters. Some hundred predictions tell the directions
(Halko, Martinsson & Tropp 2011, SIAM Rev. 53, 217) and quadratic functions along them, whose half sum of squares is
minus the log of a density that costs next to nothing, with its gradients.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from threadpoolctl import threadpool_limits

from .flow import Flow
from .maximum import residuals_at
from .problem import Problem

_SPARE = 16
"""Directions beyond one per parameter."""
_SKETCHED = 128
"""Places whose residuals tell the directions."""
_DEPTH = 5.0
"""Nats per dimension below the best place at which a place counts half: the far must not cost the near."""


class Expansion(NamedTuple):
    """Residuals along the directions in which they vary.

    Attributes:
        centre, inverse: (ndim,), (ndim, ndim) from latent coordinates to those of the expansion.
        coefficients: (k, 1 + ndim + ndim (ndim + 1) / 2) of the constant, the linear and the quadratic terms.
    """

    centre: jax.Array
    inverse: jax.Array
    coefficients: jax.Array


def log_posterior(expansion: Expansion, z: jax.Array) -> jax.Array:
    """Log of likelihood times prior at one latent vector (ndim,), up to a constant."""
    residuals = expansion.coefficients @ _terms(expansion.inverse @ (z - expansion.centre), jnp)
    return -0.5 * jnp.sum(residuals**2)


@threadpool_limits.wrap(limits=1, user_api="blas")
def expanded(problem: Problem, flow: Flow, places: np.ndarray) -> Expansion:
    """The expansion, along the principal axes of a flow, that suits places best.

    Args:
        problem: the galaxy.
        flow: whose centre is the mode.
        places: (n, ndim) latent coordinates, in any order, more than there are terms. Where the model is not finite
            they count for nothing.
    """
    centre, inverse = (np.asarray(a, np.float64) for a in (flow.centre, flow.inverse))
    places = np.vstack([centre, places])
    residuals = residuals_at(problem, places)
    finite = np.all(np.isfinite(residuals), axis=1)
    places, residuals = places[finite], residuals[finite]
    ndim, sketched = centre.size, min(_SKETCHED, len(places))
    mixed = np.random.default_rng(0).standard_normal((ndim + _SPARE, sketched)).astype(residuals.dtype)
    sketch = np.vstack([residuals[:1], mixed @ (residuals[:sketched] - residuals[0])])
    rows = (residuals @ np.linalg.qr(sketch.T)[0]).astype(np.float64)
    below = 0.5 * np.sum(rows**2, axis=1)
    weights = 1 / np.sqrt(1 + (below - below.min()) / (_DEPTH * ndim))
    terms = _terms((places - centre) @ inverse.T, np)
    coefficients, *_ = np.linalg.lstsq(weights[:, None] * terms, weights[:, None] * rows, rcond=None)
    return Expansion(flow.centre, flow.inverse, jnp.asarray(coefficients.T, flow.centre.dtype))


def _terms(u: Any, xp: ModuleType) -> Any:
    """(..., 1 + ndim + ndim (ndim + 1) / 2) products of none, one and two of u (..., ndim), by NumPy or JAX."""
    i, j = np.triu_indices(u.shape[-1])
    return xp.concatenate([xp.ones_like(u[..., :1]), u, u[..., i] * u[..., j]], axis=-1)
