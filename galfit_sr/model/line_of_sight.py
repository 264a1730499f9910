"""Integrals along the line of sight through a thick disc, density exp(-R/R_d) sech^2(z/h), at any inclination.

With x along the major axis, y across it on the sky and p the third coordinate, in the disc's plane, a line of sight
runs along p at the height z = (y - p cos i)/sin i; lengths are in R_d. The integrand has two factors. One is
exp(-sqrt(x^2+p^2)), with its peak at p = 0. The other, sech^2(z/h), has it where the plane is crossed, at p = y/cos i,
and falls from there at the rate b = 2 cos i/(h sin i). Face-on the second is the narrow one, edge-on the first. Both
are log-concave, hence the product has one peak: up to the crossing it is about exp(b p - sqrt(x^2+p^2)), highest at
p = x b/sqrt(1-b^2), and for b >= 1 at the crossing itself. The half-line p > 0 (the other half looks alike but for the
height) is divided at this peak and at the crossing, and on each of the three pieces an exponential of the right rate
makes the new variable.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

NODES = (10, 10, 8)
"""Below the peak, between peak and crossing, beyond the crossing: 2e-3 of the density, see docs/thick_discs.md."""
_FACE_ON, _EDGE_ON = 1e-3, 1e-5
"""Smallest sine and cosine of an inclination; less makes no difference."""
_TINY = 1e-9


class Moments(NamedTuple):
    """Along lines of sight, arrays of one shape; v is the speed, psi the azimuth from the major axis.

    Attributes:
        density: projected, in M/R_d^2.
        cosine: mean of v cos(psi).
        squared: mean of v^2.
        cosine_squared: mean of v^2 cos(psi)^2.
    """

    density: jax.Array
    cosine: jax.Array
    squared: jax.Array
    cosine_squared: jax.Array


def moments(
    x: jax.Array,
    y: jax.Array,
    cos_inclination: jax.Array,
    sin_inclination: jax.Array,
    thickness: jax.Array,
    circular_velocity: Callable[[jax.Array], jax.Array],
) -> Moments:
    """Mass-weighted means of a rotation that is the same at all heights.

    Args:
        x, y: positions on the sky along and across the major axis, x > 0 and y >= 0, arrays of one shape [R_d].
        cos_inclination, sin_inclination: of the disc's plane, scalar.
        thickness: h/R_d, scalar.
        circular_velocity: of the radius in the disc's plane [R_d], any shape.
    """
    depth = thickness * jnp.maximum(sin_inclination, _FACE_ON)
    cosine = jnp.maximum(cos_inclination, _EDGE_ON)
    crossing, rate = y / cosine, 2 * cosine / depth
    offset, weight = _nodes(x, crossing, rate)
    x, crossing = x[..., None], crossing[..., None]
    radius = jnp.sqrt(x**2 + (crossing - offset) ** 2)
    # From the offset, which has all its digits where the line crosses the plane steeply.
    heights = (offset * rate / 2, (2 * crossing - offset) * rate / 2)
    column = weight * jnp.exp(-radius) * (_sech_squared(heights[0]) + _sech_squared(heights[1]))
    total = column.sum(-1)
    # Far out the total is 1e-17, whose inverse square in gradients would leave single precision.
    column = column / jax.lax.stop_gradient(total)[..., None]
    column = column / column.sum(-1, keepdims=True)
    velocity = circular_velocity(radius)
    ordered = velocity * (x / radius)
    return Moments(
        total / (4 * np.pi * depth),
        (column * ordered).sum(-1),
        (column * velocity**2).sum(-1),
        (column * ordered**2).sum(-1),
    )


def _sech_squared(u: jax.Array) -> jax.Array:
    e = jnp.exp(-2 * jnp.abs(u))
    return 4 * e / (1 + e) ** 2


def _nodes(x: jax.Array, crossing: jax.Array, rate: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Nodes as crossing - p, and weights, of the half-line p > 0, along a new last axis."""
    # Of exp(b p - sqrt(x^2+p^2)): its peak, and the inverse of the curvature there.
    room = jnp.maximum(1 - rate**2, 1e-6)
    peak = jnp.where(rate < 1, jnp.minimum(crossing, x * rate / jnp.sqrt(room)), crossing)
    breadth = x / room**1.5
    slope, last_slope = (p / jnp.sqrt(x**2 + p**2) for p in (peak, crossing))
    below = jnp.sqrt((rate - slope) ** 2 + 1 / (1 / rate**2 + breadth))
    above = 1 / jnp.sqrt(1 / jnp.maximum(1 - rate, 1e-3) ** 2 + breadth)
    beyond = rate + jnp.sqrt(last_slope**2 + 1 / (1 + x))
    behind = crossing - peak
    steps = [
        _exponential(NODES[0], below, peak),
        _exponential(NODES[1], above, behind),
        _exponential(NODES[2], beyond, None),
    ]
    offsets = (behind[..., None] + steps[0][0], behind[..., None] - steps[1][0], -steps[2][0])
    # A concatenation that is fused with what follows is not vectorised on CPU.
    return jax.lax.optimization_barrier(
        (jnp.concatenate(offsets, -1), jnp.concatenate([weight for _, weight in steps], -1))
    )


def _exponential(count: int, rate: jax.Array, length: jax.Array | None) -> tuple[jax.Array, jax.Array]:
    """Nodes in [0, length], or to infinity, for integrands that fall about as exp(-rate d), with their weights.

    The new variable is the distribution function of that exponential, itself a cubic of the Gauss-Legendre variable
    that is flat at both ends: it gathers the nodes there and removes what singularities the ends have.
    """
    u, gauss = np.polynomial.legendre.leggauss(count)
    u, gauss = (u + 1) / 2, gauss / 2
    one_row = (*(1,) * rate.ndim, count)
    done, left, weight = (
        jnp.asarray(a.reshape(one_row))
        for a in (u**2 * (3 - 2 * u), (1 - u) ** 2 * (1 + 2 * u), 6 * u * (1 - u) * gauss)
    )
    if length is None:
        return -jnp.log(left) / rate[..., None], weight / left / rate[..., None]
    rate = jnp.maximum(rate, _TINY / jnp.maximum(length, _TINY))[..., None]
    missing = jnp.exp(-rate * length[..., None])
    share = left + done * missing
    return -jnp.log(share) / rate, weight * (1 - missing) / share / rate
