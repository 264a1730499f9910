"""Coordinates in which a posterior is a standard normal: principal axes, bent by affine coupling layers.

Where data pin one combination of parameters as a function of others that they leave open, that function is curved, and
whatever suits the middle of the posterior, a Gaussian or a step, misses it further out. A coupling layer (Dinh,
Sohl-Dickstein & Bengio 2017, arXiv:1605.08803) moves and stretches some coordinates by functions of the others: it can
say just that, its inverse and its Jacobian are as cheap as itself. The first layer moves the narrow principal axes by
functions of the wide ones.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .perceptron import Perceptron, perceptron, untrained, zeros

LAYERS = 8
_MOST_STRETCH = 1.5
"""Bound on the logarithm of a layer's stretching: no draw can be thrown arbitrarily far."""


class Flow(NamedTuple):
    """A map between straight coordinates x, in which the posterior is about a standard normal, and latent ones z.

    z = centre + basis couplings(x).

    Attributes:
        centre: (ndim,).
        basis: (ndim, ndim) principal axes times the standard deviations along them, the widest first.
        inverse: (ndim, ndim) its inverse.
        log_volume: scalar, log of its determinant.
        couplings: what bends: a perceptron per layer, of ndim inputs and 2 ndim outputs.
    """

    centre: jax.Array
    basis: jax.Array
    inverse: jax.Array
    log_volume: jax.Array
    couplings: Perceptron


def make_flow(centre: np.ndarray, covariance: np.ndarray, couplings: Perceptron, dtype: jnp.dtype) -> Flow:
    """The flow along the principal axes of a covariance (ndim, ndim), none of them wider than the prior."""
    values, vectors = np.linalg.eigh(covariance)
    deviations = np.sqrt(np.minimum(values, 1.0))[::-1]
    basis = vectors[:, ::-1] * deviations
    parts = (centre, basis, np.linalg.inv(basis), np.sum(np.log(deviations)), couplings)
    return Flow(*jax.tree.map(lambda a: jnp.asarray(a, dtype), parts))


def straight_couplings(ndim: int) -> Perceptron:
    """Couplings that bend nothing, float32 on the host."""
    return zeros((LAYERS,), ndim, 2 * ndim)


def untrained_couplings(ndim: int, seed: int) -> Perceptron:
    """Couplings that bend nothing yet, but can learn to."""
    return untrained((LAYERS,), ndim, 2 * ndim, seed)


def to_latent(flow: Flow, x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Straight (ndim,) to latent coordinates (ndim,), and the log of the Jacobian |dz/dx|."""

    def bend(state, layer):
        x, stretched = state
        weights, mask = layer
        stretch, move = _layer(weights, mask, x)
        return (x * jnp.exp(stretch) + move, stretched + jnp.sum(stretch)), None

    start = (x, flow.log_volume)
    (y, log_jacobian), _ = jax.lax.scan(bend, start, (flow.couplings, _masks(x.size, x.dtype)))
    return flow.centre + flow.basis @ y, log_jacobian


def to_straight(flow: Flow, z: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Inverse of `to_latent`, and the log of the same Jacobian |dz/dx|."""

    def unbend(state, layer):
        y, stretched = state
        weights, mask = layer
        stretch, move = _layer(weights, mask, y)
        return ((y - move) * jnp.exp(-stretch), stretched + jnp.sum(stretch)), None

    start = (flow.inverse @ (z - flow.centre), flow.log_volume)
    (x, log_jacobian), _ = jax.lax.scan(unbend, start, (flow.couplings, _masks(z.size, z.dtype)), reverse=True)
    return x, log_jacobian


def _layer(weights: Perceptron, mask: jax.Array, x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Log of the stretching and the move of the coordinates outside the mask, by functions of those in it."""
    stretch, move = jnp.split(perceptron(weights, x * mask), 2)
    return _MOST_STRETCH * jnp.tanh(stretch / _MOST_STRETCH) * (1 - mask), move * (1 - mask)


def _masks(ndim: int, dtype: Any) -> np.ndarray:
    """(LAYERS, ndim) 1 for the coordinates that a layer leaves as they are: halves cut ever finer, and their rest."""
    order = np.arange(ndim)
    halves = [order < (ndim + 1) // 2, *(order // 2**k % 2 == 0 for k in range(LAYERS // 2 - 1))]
    return np.array([mask for half in halves for mask in (half, ~half)], dtype=dtype)
