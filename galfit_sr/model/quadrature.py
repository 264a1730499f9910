"""Quadrature points around the centre of a galaxy, where cusps defeat any pixel grid.

The light near the centre is split by two smooth windows. Within about one source spacing polar points, their radii
graded like u^5, resolve whatever cusp there is (a Dehnen bulge of slope 2.4 has a projected pressure like R^-1.8); out
to about six spacings a tensor grid of points does; what is left is smooth on the pixels, and there the PSF-weighted sum
over pixels is exact. All of it moves with the centre, so the maps are smooth functions of its position.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

_OUTER_WINDOW, _OUTER_EDGE = 4.0, 7.0
_INNER_WINDOW, _INNER_EDGE = 0.75, 1.3
_GRADING = 5
_RADII, _ANGLES = 18, 20
_PANELS = ((-_OUTER_EDGE, -_INNER_EDGE, 11), (-_INNER_EDGE, _INNER_EDGE, 16), (_INNER_EDGE, _OUTER_EDGE, 11))


class TensorPoints(NamedTuple):
    """Points (u_i, u_j) with weights (m, m), in source spacings relative to the centre."""

    u: np.ndarray
    weight: np.ndarray


class PolarPoints(NamedTuple):
    """Points (x, y) with weights, (m,) each, in source spacings relative to the centre.

    `rows` and `columns`, (t, m), hand their light over to the t x t tensor points of the inner panel: Lagrange
    polynomials. A PSF is a polynomial of degree 15 to 1e-9 over that panel, so through the PSF nothing changes, and
    only the tensor points have to be seen through it.
    """

    x: np.ndarray
    y: np.ndarray
    weight: np.ndarray
    rows: np.ndarray
    columns: np.ndarray


def outside_window(squared_radius: jax.Array) -> jax.Array:
    """Share of the light that stays on the pixel grid, at a squared distance from the centre [source spacings^2]."""
    return -jnp.expm1(-((squared_radius / _OUTER_WINDOW**2) ** 2))


def tensor_points() -> TensorPoints:
    """The region between the two windows."""
    u, w = (np.concatenate(a) for a in zip(*(_legendre(*panel) for panel in _PANELS), strict=True))
    squared = u[None, :] ** 2 + u[:, None] ** 2
    return TensorPoints(u, w[None, :] * w[:, None] * _outer(squared) * -np.expm1(_log_inner(squared)))


def polar_points() -> PolarPoints:
    """The region within the inner window."""
    v, weight = _legendre(0.0, 1.0, _RADII)
    radius = _INNER_EDGE * v**_GRADING
    weight = weight * _GRADING * v ** (_GRADING - 1) * _INNER_EDGE * radius * (2 * np.pi / _ANGLES)
    weight = weight * np.exp(_log_inner(radius**2)) * _outer(radius**2)
    angle = 2 * np.pi * (np.arange(_ANGLES) + 0.5) / _ANGLES
    x, y = np.outer(radius, np.cos(angle)).ravel(), np.outer(radius, np.sin(angle)).ravel()
    return PolarPoints(x, y, np.repeat(weight, _ANGLES), _onto_tensor(y), _onto_tensor(x))


def _onto_tensor(position: np.ndarray) -> np.ndarray:
    """Lagrange polynomials of the tensor grid's inner panel at positions (m,): (t, m)."""
    nodes, _ = _legendre(*_PANELS[1])
    return np.stack(
        [np.prod([(position - other) / (node - other) for other in nodes if other != node], axis=0) for node in nodes]
    )


def near_points(tensor: TensorPoints, polar: PolarPoints) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x, y and weight of both sets in one flat row, the tensor's first."""
    m = tensor.u.size
    return (
        np.concatenate([np.tile(tensor.u, m), polar.x]),
        np.concatenate([np.repeat(tensor.u, m), polar.y]),
        np.concatenate([tensor.weight.ravel(), polar.weight]),
    )


def hand_over(polar: PolarPoints, central: jax.Array, between: jax.Array) -> jax.Array:
    """Adds the light (m,) of the polar points to the tensor's (u, u), so that it looks equal through any PSF."""
    rows, columns = jnp.asarray(polar.rows, central.dtype), jnp.asarray(polar.columns, central.dtype)
    light = jnp.matmul(rows * central[None, :], columns.T, precision=jax.lax.Precision.HIGHEST)
    inner = slice(_PANELS[0][2], _PANELS[0][2] + _PANELS[1][2])
    return between.at[inner, inner].add(light)


def _outer(squared_radius: np.ndarray) -> np.ndarray:
    return np.exp(-((squared_radius / _OUTER_WINDOW**2) ** 2))


def _log_inner(squared_radius: np.ndarray) -> np.ndarray:
    return -((squared_radius / _INNER_WINDOW**2) ** 2)


def _legendre(low: float, high: float, count: int) -> tuple[np.ndarray, np.ndarray]:
    nodes, weights = np.polynomial.legendre.leggauss(count)
    return low + (high - low) * (nodes + 1) / 2, weights * (high - low) / 2
