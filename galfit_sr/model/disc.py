"""Razor-thin exponential disc (Freeman 1970, ApJ 160, 811), a part of whose motion is ordered rotation."""

from __future__ import annotations

import dataclasses
import math

import jax
import jax.numpy as jnp

from .component import GRAVITATIONAL_CONSTANT, Rotation, Tracer, Values
from .geometry import Geometry
from .series import DISC_SPLIT, curve, load

_INNER_A, _INNER_B, _OUTER = (tuple(load(f"disc_{part}").tolist()) for part in ("inner_a", "inner_b", "outer"))


@dataclasses.dataclass(frozen=True)
class Disc:
    """Sigma = M/(2 pi R_d^2) exp(-r/R_d); parameters log10_<name>_mass, log10_<name>_radius and k_<name>."""

    name: str

    def circular_velocity_squared(self, values: Values, radius: jax.Array, critical_density: jax.Array) -> jax.Array:
        """2 G M / R_d y^2 [I0 K0 - I1 K1](y) with y = r / (2 R_d) [km^2/s^2]."""
        scale = 10 ** values[f"log10_{self.name}_radius"]
        mass = 10 ** values[f"log10_{self.name}_mass"]
        return 2 * GRAVITATIONAL_CONSTANT * mass / scale * universal_velocity_squared(radius / (2 * scale))

    def tracer(self, values: Values, geometry: Geometry, rotation: Rotation) -> Tracer:
        """v = k sin(i) cos(psi) v_c and sigma^2 = (1-k^2) v_c^2 / 3."""
        k = values[f"k_{self.name}"]
        velocity = k * geometry.sin_inclination * geometry.cos_azimuth * rotation.in_plane
        return Tracer(
            self._density(values, geometry.disc_radius, 1 / geometry.cos_inclination),
            velocity,
            (1 - k**2) / 3 * rotation.in_plane**2,
        )

    def face_on_density(self, values: Values, radius: jax.Array) -> jax.Array:
        """M/(2 pi R_d^2) exp(-r/R_d) [M_sun/kpc^2]."""
        return self._density(values, radius, 1.0)

    def _density(self, values: Values, radius: jax.Array, factor: jax.Array | float) -> jax.Array:
        scale = 10 ** values[f"log10_{self.name}_radius"]
        return factor * 10 ** values[f"log10_{self.name}_mass"] / (2 * math.pi * scale**2) * jnp.exp(-radius / scale)


def universal_velocity_squared(y: jax.Array) -> jax.Array:
    """y^2 [I0 K0 - I1 K1](y), relative accuracy 1e-7, for y > 0 of any shape."""
    near = jnp.minimum(y, DISC_SPLIT)
    v = 2 * (near / DISC_SPLIT) ** 2 - 1
    inner = near**2 * (curve(_INNER_A, v) - jnp.log(near / 2) * curve(_INNER_B, v))
    u = DISC_SPLIT / jnp.maximum(y, DISC_SPLIT)
    outer = curve(_OUTER, 2 * u - 1) * u / (4 * DISC_SPLIT)
    return jnp.where(y < DISC_SPLIT, inner, outer)
