"""Coordinates in which a bent posterior is straight: whitened, and sheared by squares of the widest directions.

Where data pin one combination of parameters as a function of others that they leave open, that function is curved, and
steps that suit the middle of the posterior leave it further out. A shear of the narrow directions by a quadratic form
of the wide ones, fitted to draws, takes most of the curvature away; its Jacobian is constant, so that densities need no
correction. It is the simplest triangular map after the linear one (Marzouk et al. 2016, Handbook of Uncertainty
Quantification, ch. 23).
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

_WIDE = 4


class Bending(NamedTuple):
    """A map between straight coordinates x and latent ones z: z = centre + basis (x + bends q(x)).

    Attributes:
        centre: (ndim,).
        basis: (ndim, ndim) principal axes times the standard deviations along them, the widest first.
        inverse: (ndim, ndim) its inverse.
        bends: (ndim, k) coefficients of the quadratic terms of the first four coordinates; zero in their own rows.
    """

    centre: jax.Array
    basis: jax.Array
    inverse: jax.Array
    bends: jax.Array


def unbent(centre: np.ndarray, covariance: np.ndarray, dtype: jnp.dtype) -> Bending:
    """The linear map that whitens a Gaussian."""
    return _bending(centre, _axes(covariance), np.zeros((len(centre), _squares(centre).size)), dtype)


def fit_bending(draws: np.ndarray, before: np.ndarray, dtype: jnp.dtype) -> Bending:
    """The map fitted to draws of chains.

    Args:
        draws: (c, n, ndim) latent positions.
        before: (ndim, ndim) covariance that counts as ndim draws.
        dtype: of the map.
    """
    ndim = draws.shape[-1]
    offsets = (draws - draws.mean(axis=1, keepdims=True)).reshape(-1, ndim)
    covariance = (offsets.T @ offsets + ndim * before) / (len(offsets) + ndim)
    axes = _axes(covariance)
    y = offsets @ np.linalg.inv(axes).T
    squares = _squares(y)
    # As if as many draws as there are dimensions had shown no bends.
    bends = np.linalg.solve(squares.T @ squares + ndim * np.eye(squares.shape[1]), squares.T @ y).T
    bends[:_WIDE] = 0.0
    # What the bends explain leaves the narrow directions narrower.
    left = np.sqrt((np.sum((y - squares @ bends.T) ** 2, axis=0) + ndim) / (len(y) + ndim))
    return _bending(draws.mean(axis=(0, 1)), axes * left, bends / left[:, None], dtype)


def to_latent(bending: Bending, x: jax.Array) -> jax.Array:
    """Straight (ndim,) to latent coordinates (ndim,)."""
    return bending.centre + bending.basis @ (x + bending.bends @ _squares(x))


def to_straight(bending: Bending, z: jax.Array) -> jax.Array:
    """Inverse of `to_latent`."""
    y = bending.inverse @ (z - bending.centre)
    return y - bending.bends @ _squares(y)


def _axes(covariance: np.ndarray) -> np.ndarray:
    """(ndim, ndim) principal axes times their standard deviations, the widest first."""
    values, vectors = np.linalg.eigh(covariance)
    return (vectors * np.sqrt(values))[:, ::-1]


def _bending(centre: np.ndarray, basis: np.ndarray, bends: np.ndarray, dtype: jnp.dtype) -> Bending:
    return Bending(*(jnp.asarray(a, dtype) for a in (centre, basis, np.linalg.inv(basis), bends)))


def _squares(x):
    """(..., k) squares and products of the first of (..., ndim) coordinates, of mean zero for standard normal ones."""
    i, j = np.triu_indices(min(_WIDE, x.shape[-1]))
    products = x[..., i] * x[..., j]
    return products - np.broadcast_to(i == j, products.shape)
