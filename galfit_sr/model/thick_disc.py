"""Thick exponential disc, seen along the line of sight.

rho = M/(4 pi R_d^2 h) exp(-R/R_d) sech^2(z/h) with h = thickness R_d, which rotates at all heights as in its plane.
Its circular velocity is exact (a table of two dimensions), not a sum of Miyamoto-Nagai discs. What a line of sight sees
is a smooth function of elliptic polar coordinates on the sky and of a single other number, and linear in the rotation
curve and its square: all integrals are done once, in `tables`, and a model is a few products of matrices.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from .component import GRAVITATIONAL_CONSTANT, Rotation, Tracer, Values
from .disc import Disc
from .geometry import Geometry
from .series import (
    LINE_RADII,
    STEEPEST,
    STEEPNESS_BEND,
    THICK_HALF_WIDTH,
    THICKNESS_RANGE,
    centred,
    clenshaw,
    derivative,
    load,
    polynomials,
    series,
    stretch,
)

_VELOCITY = tuple(map(tuple, load("thick_velocity").tolist()))
_DENSITY, _NODES, _MODES, _MOMENTS = (load(f"line_{name}") for name in ("density", "nodes", "modes", "moments"))
_LOG_THICKNESS, _LOG_RADII, _LOG_STEEPNESS = (
    (math.log(low), math.log(high))
    for low, high in (THICKNESS_RANGE, LINE_RADII, (STEEPNESS_BEND, math.hypot(STEEPEST, STEEPNESS_BEND)))
)
_BLOCK = 4
"""Polynomials that are evaluated at once, a divisor of the numbers of radii and of angles."""
_SMALLEST, _SMALLEST_ANGLE = 1e-10, 1e-6
_FACE_ON = 1e-3
"""Smallest sine of an inclination; less makes no difference."""
_EXACT = jax.lax.Precision.HIGHEST
_product = partial(jnp.matmul, precision=_EXACT)


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


@dataclasses.dataclass(frozen=True)
class ThickDisc:
    """A disc with the parameters of the razor-thin one and thickness_<name>, scale height over scale length."""

    name: str

    def circular_velocity_squared(self, values: Values, radius: jax.Array, critical_density: jax.Array) -> jax.Array:
        """In the plane [km^2/s^2], 1e-4 relative."""
        scale = 10 ** values[f"log10_{self.name}_radius"]
        t, outside = stretch(jnp.log(radius) - jnp.log(scale), THICK_HALF_WIDTH)
        g = centred(jnp.log(self._thickness(values)), _LOG_THICKNESS)
        # Solid-body rotation inside the table, a point mass outside.
        power = 2 * jnp.minimum(outside, 0) - jnp.maximum(outside, 0)
        mass = 10 ** values[f"log10_{self.name}_mass"]
        return GRAVITATIONAL_CONSTANT * mass / scale * jnp.exp(series(_VELOCITY, t, g) + power)

    def tracer(self, values: Values, geometry: Geometry, rotation: Rotation) -> Tracer:
        """v = k sin(i) cos(psi) v_c and sigma^2 = (1-k^2) v_c^2 / 3 at every point, averaged over the line of sight."""
        scale, k = 10 ** values[f"log10_{self.name}_radius"], values[f"k_{self.name}"]
        thickness = self._thickness(values)
        sine = geometry.sin_inclination
        seen = moments(geometry, thickness, scale, lambda radius: rotation.at(radius * scale))
        velocity = k * sine * jnp.sign(geometry.along) * seen.cosine
        return Tracer(
            10 ** values[f"log10_{self.name}_mass"] / scale**2 * seen.density,
            velocity,
            (1 - k**2) / 3 * seen.squared + (k * sine) ** 2 * (seen.cosine_squared - seen.cosine**2),
        )

    def face_on_density(self, values: Values, radius: jax.Array) -> jax.Array:
        """M/(2 pi R_d^2) exp(-r/R_d) [M_sun/kpc^2]."""
        return Disc(self.name).face_on_density(values, radius)

    def _thickness(self, values: Values) -> jax.Array:
        # A disc of 0.01 cannot be told from a thinner one.
        return jnp.maximum(values[f"thickness_{self.name}"], THICKNESS_RANGE[0])


def moments(
    geometry: Geometry,
    thickness: jax.Array,
    scale: jax.Array,
    circular_velocity: Callable[[jax.Array], jax.Array],
) -> Moments:
    """Moments along the lines of sight to all points of a geometry.

    Args:
        geometry: of m points.
        thickness, scale: of the disc, scalars; the scale in kpc.
        circular_velocity: of the radius in the disc's plane [R_d], any shape.
    """
    cosine, sine = geometry.cos_inclination, geometry.sin_inclination
    flattening = jnp.sqrt(cosine**2 + (thickness * sine) ** 2)
    steepness = jnp.minimum(2 * cosine / (thickness * jnp.maximum(sine, _FACE_ON)), STEEPEST)
    coefficients = _coefficients(steepness, circular_velocity(jnp.asarray(_NODES, scale.dtype)))
    x = jnp.abs(geometry.along) / scale + _SMALLEST
    y = jnp.abs(geometry.across) / (scale * flattening) + _SMALLEST
    radius = jnp.sqrt(x**2 + y**2)
    inside = jnp.clip(radius, *LINE_RADII)
    left = jnp.sqrt(jnp.maximum(1 - 2 / math.pi * jnp.arctan2(y, x), _SMALLEST_ANGLE))
    log_density, per_left, squared, cosine_squared = _series(
        coefficients, centred(jnp.log(inside), _LOG_RADII), 1 - 2 * left
    )
    return Moments(
        jnp.exp(log_density - jnp.maximum(radius, inside)) / flattening, left * per_left, squared, cosine_squared
    )


def _coefficients(steepness: jax.Array, velocity: jax.Array) -> jax.Array:
    """Series of the four moments, (4, angles, radii), of a rotation curve given at its nodes; see `tables`."""
    g = centred(jnp.log(steepness**2 + STEEPNESS_BEND**2) / 2, _LOG_STEEPNESS)
    basis = polynomials(_DENSITY.shape[-1], g)
    density, modes, means = (jnp.asarray(table, basis.dtype) for table in (_DENSITY, _MODES, _MOMENTS))
    curves = jnp.stack([velocity, velocity**2, velocity**2])
    by_node = _product(modes, basis[: modes.shape[-1]])
    weights = jnp.einsum("fnk,fn->fk", by_node, curves, precision=_EXACT)
    seen = jnp.einsum("fk,fkjr->fjr", weights, means, precision=_EXACT)
    return jnp.concatenate([_product(density, basis)[None], seen])


@jax.custom_jvp
def _series(coefficients: jax.Array, t: jax.Array, u: jax.Array) -> jax.Array:
    """Sums of c_jk T_j(u) T_k(t) for coefficients (f, angles, radii) at points t, u (m,): (f, m).

    Each by one product and Clenshaw's recurrence, one field after the other: all products at once, of a batch of
    galaxies, would leave the processor's caches.
    """
    along = _polynomials_at(t, coefficients.shape[-1])
    return jax.lax.map(lambda field: clenshaw(_product(field, along), u), coefficients)


@_series.defjvp
def _series_jvp(primals, tangents):
    coefficients, t, u = primals
    change, dt, du = tangents
    angles, radii = coefficients.shape[1:]
    along, across = _polynomials_at(t, radii), _polynomials_at(u, angles)

    def with_slopes(field: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        rows = _product(field, along)
        value, by_u = jax.jvp(lambda u: clenshaw(rows, u), (u,), (jnp.ones_like(u),))
        return value, clenshaw(_product(_product(field, jnp.asarray(derivative(radii), t.dtype)), along), u), by_u

    value, by_t, by_u = jax.lax.map(with_slopes, coefficients)
    # Linear in the change, and transposed for gradients.
    moved = jax.lax.map(lambda field: (_product(field, along) * across).sum(0), change)
    return value, moved + by_t * dt[None, :] + by_u * du[None, :]


def _polynomials_at(t: jax.Array, count: int) -> jax.Array:
    """Chebyshev polynomials T_0 ... T_(count-1) of t (m,): (count, m), a block after the other.

    T_(k+b) = 2 T_b T_k - T_|k-b|. One after the other takes three times as long.
    """
    first = [jnp.ones_like(t), t]
    while len(first) <= _BLOCK:
        first.append(2 * t * first[-1] - first[-2])
    twice, before, now = 2 * first[-1][None, :], jnp.stack(first[:0:-1]), jnp.stack(first[:-1])
    blocks = [now]
    for _ in range(count // _BLOCK - 1):
        before, now = now, twice * now - before
        blocks.append(now)
    return jnp.concatenate(blocks)
