"""Dark halo of Navarro, Frenk & White (1997, ApJ 490, 493), its mass a multiple of the stars'."""

from __future__ import annotations

import dataclasses
import math
from typing import ClassVar

import jax
import jax.numpy as jnp

from .component import GRAVITATIONAL_CONSTANT, Values

_SERIES_BELOW = 0.1
_SERIES = tuple((-1) ** k * (k - 1) / k for k in range(2, 11))


@dataclasses.dataclass(frozen=True)
class Halo:
    """M_h = f (M_b + M_d1 + M_d2) within r200; parameters log10_halo_fraction and halo_concentration."""

    name: ClassVar[str] = "halo"

    def circular_velocity_squared(self, values: Values, radius: jax.Array, critical_density: jax.Array) -> jax.Array:
        """G M_h/r [ln(1+q) - q/(1+q)] / [ln(1+c) - c/(1+c)] with q = r/a, a = r200/c [km^2/s^2]."""
        stars = sum(10 ** values[name] for name in values if name.startswith("log10_") and name.endswith("_mass"))
        mass = 10 ** values["log10_halo_fraction"] * stars
        c = values["halo_concentration"]
        r200 = jnp.cbrt(3 * mass / (800 * math.pi * critical_density))
        q = radius * (c / r200)
        return GRAVITATIONAL_CONSTANT * mass * c / r200 * _mass_over_radius(q) / (jnp.log1p(c) - c / (1 + c))


def _mass_over_radius(q: jax.Array) -> jax.Array:
    """[ln(1+q) - q/(1+q)] / q; a series near 0, where the difference cancels."""
    small = jnp.minimum(q, _SERIES_BELOW)
    near = jnp.zeros_like(q)
    for coefficient in reversed(_SERIES):
        near = near * small + coefficient
    large = jnp.maximum(q, _SERIES_BELOW)
    return jnp.where(q < _SERIES_BELOW, near * small, jnp.log1p(large) / large - 1 / (1 + large))
