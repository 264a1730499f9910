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
        c, mass, scale = values["halo_concentration"], _mass(values), scale_radius(values, critical_density)
        return (
            GRAVITATIONAL_CONSTANT * mass / (scale * (jnp.log1p(c) - c / (1 + c))) * _mass_over_radius(radius / scale)
        )


def scale_radius(values: Values, critical_density: jax.Array) -> jax.Array:
    """a = r200 / c [kpc]; r200 encloses 200 times the critical density [M_sun/kpc^3]."""
    return jnp.cbrt(3 * _mass(values) / (800 * math.pi * critical_density)) / values["halo_concentration"]


def _mass(values: Values) -> jax.Array:
    stars = sum(10 ** values[name] for name in values if name.startswith("log10_") and name.endswith("_mass"))
    return 10 ** values["log10_halo_fraction"] * stars


def _mass_over_radius(q: jax.Array) -> jax.Array:
    """[ln(1+q) - q/(1+q)] / q; a series near 0, where the difference cancels."""
    small = jnp.minimum(q, _SERIES_BELOW)
    near = jnp.zeros_like(q)
    for coefficient in reversed(_SERIES):
        near = near * small + coefficient
    large = jnp.maximum(q, _SERIES_BELOW)
    both = 1 / (large * (1 + large))
    return jnp.where(q < _SERIES_BELOW, near * small, both * ((1 + large) * jnp.log1p(large) - large))
