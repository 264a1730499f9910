"""Thick exponential disc, seen along the line of sight.

rho = M/(4 pi R_d^2 h) exp(-R/R_d) sech^2(z/h) with h = thickness R_d, which rotates at all heights as in its plane.
Its circular velocity is exact (a table of two dimensions), not a sum of Miyamoto-Nagai discs. The integrals along the
line of sight are smooth functions of elliptic polar coordinates on the sky, whatever the inclination, so they are done
on a small polar grid of lines and interpolated by Chebyshev series, of which matrix products are the most.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from numpy.polynomial import chebyshev

from .component import GRAVITATIONAL_CONSTANT, Rotation, Tracer, Values
from .disc import Disc
from .geometry import Geometry
from .line_of_sight import Moments, moments
from .series import THICK_HALF_WIDTH, THICKNESS_RANGE, centred, load, series, stretch

_VELOCITY = tuple(map(tuple, load("thick_velocity").tolist()))
_LOG_THICKNESS = (math.log(THICKNESS_RANGE[0]), math.log(THICKNESS_RANGE[1]))
RADII, ANGLES = 20, 20
_BLOCK = 5
"""Polynomials that are evaluated at once, a divisor of both."""
_INNERMOST, _OUTERMOST = 3e-3, 20.0
_SMALLEST, _SMALLEST_ANGLE = 1e-10, 1e-6
_MIDDLE, _HALF = math.log(_INNERMOST * _OUTERMOST) / 2, math.log(_OUTERMOST / _INNERMOST) / 2
_T, _U = (np.cos(math.pi * (np.arange(n) + 0.5) / n) for n in (RADII, ANGLES))
_RADIUS = np.exp(_MIDDLE + _HALF * _T)
"""Of the grid of lines [R_d]."""
_ANGLE = math.pi / 2 * (1 - ((1 - _U) / 2) ** 2)
"""Denser towards the minor axis, where velocities go as x ln(x)."""
_DERIVATIVES = [
    np.stack([np.append(chebyshev.chebder(row), 0.0) for row in np.eye(nodes.size)], axis=1) for nodes in (_T, _U)
]
_EXACT = jax.lax.Precision.HIGHEST
_TO_SERIES = [np.linalg.inv(chebyshev.chebvander(nodes, nodes.size - 1)) for nodes in (_T, _U)]


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
        seen = _seen(geometry, thickness, scale, lambda radius: rotation.at(radius * scale))
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


def _seen(
    geometry: Geometry,
    thickness: jax.Array,
    scale: jax.Array,
    circular_velocity: Callable[[jax.Array], jax.Array],
) -> Moments:
    """Moments along the lines of sight to all points of a geometry; see `line_of_sight.moments`."""
    cosine, sine = geometry.cos_inclination, geometry.sin_inclination
    flattening = jnp.sqrt(cosine**2 + (thickness * sine) ** 2)
    along, across = (jnp.asarray(_RADIUS[:, None] * direction(_ANGLE)) for direction in (np.cos, np.sin))
    at = moments(
        along,
        across * flattening,
        cosine,
        sine,
        thickness,
        circular_velocity,
    )
    # Each is smooth, and the first three cover decades.
    smooth = jnp.stack(
        [
            jnp.log(at.density),
            jnp.log(at.cosine / np.cos(_ANGLE)[None, :]),
            jnp.log(at.squared),
            at.cosine_squared / at.squared,
        ]
    )
    x = jnp.abs(geometry.along) / scale + _SMALLEST
    y = jnp.abs(geometry.across) / (scale * flattening) + _SMALLEST
    radius = jnp.sqrt(x**2 + y**2)
    inside = jnp.clip(radius, _INNERMOST, _OUTERMOST)
    left = jnp.maximum(1 - 2 / math.pi * jnp.arctan2(y, x), _SMALLEST_ANGLE)
    t, u = (jnp.log(inside) - _MIDDLE) / _HALF, 1 - 2 * jnp.sqrt(left)
    log_density, log_cosine, log_squared, share = _interpolate(smooth, t, u)
    squared = jnp.exp(log_squared)
    return Moments(
        jnp.exp(log_density + inside - jnp.maximum(radius, inside)),
        x / radius * jnp.exp(log_cosine),
        squared,
        share * squared,
    )


def _interpolate(values: jax.Array, t: jax.Array, u: jax.Array) -> jax.Array:
    """Functions (f, RADII, ANGLES) on the grid of lines at points t, u (m,) of its two coordinates: (f, m)."""
    radial, angular = (jnp.asarray(a, values.dtype) for a in _TO_SERIES)
    return _series(jnp.einsum("kr,fra,ja->fjk", radial, values, angular, precision=_EXACT), t, u)


@jax.custom_jvp
def _series(coefficients: jax.Array, t: jax.Array, u: jax.Array) -> jax.Array:
    """Sums of c_jk T_j(u) T_k(t) for coefficients (f, ANGLES, RADII): (f, m). Derivatives are series too."""
    return _summed(coefficients, _polynomials(t, RADII), _polynomials(u, ANGLES))


@_series.defjvp
def _series_jvp(primals, tangents):
    coefficients, t, u = primals
    change, dt, du = tangents
    along, across = _polynomials(t, RADII), _polynomials(u, ANGLES)
    by_t, by_u = (jnp.asarray(d, t.dtype) for d in _DERIVATIVES)
    slopes = (
        jnp.einsum("fjk,lk->fjl", coefficients, by_t, precision=_EXACT),
        jnp.einsum("fjk,ij->fik", coefficients, by_u, precision=_EXACT),
    )
    value, d_t, d_u = jnp.split(_summed(jnp.concatenate([coefficients, *slopes]), along, across), 3)
    # Linear in the change, and transposed for gradients: one product with all polynomials at once is best there.
    moved = (jnp.einsum("fjk,km->fjm", change, along, precision=_EXACT) * across[None]).sum(1)
    return value, moved + d_t * dt[None, :] + d_u * du[None, :]


def _summed(coefficients: jax.Array, along: jax.Array, across: jax.Array) -> jax.Array:
    """Sum of c_fjk across_j along_k: (f, m), term by term in j, so that no array of all terms is ever stored."""

    def add(total: jax.Array, term: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, None]:
        rows, factor = term
        return total + jnp.matmul(rows, along, precision=_EXACT) * factor[None, :], None

    start = jnp.zeros((coefficients.shape[0], along.shape[1]), along.dtype)
    return jax.lax.scan(add, start, (coefficients.swapaxes(0, 1), across))[0]


def _polynomials(t: jax.Array, count: int) -> jax.Array:
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
