"""Spherical bulge of Dehnen (1993, MNRAS 265, 250): inner slope gamma from 0 to 2.4, isotropic and not rotating."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp

from .component import GRAVITATIONAL_CONSTANT, Rotation, Tracer, Values
from .geometry import Geometry
from .series import BULGE_HALF_WIDTH, SLOPE_RANGE, centred, load, series, stretch

_DENSITY = tuple(map(tuple, load("bulge_density").tolist()))
_DISPERSION = tuple(map(tuple, load("bulge_dispersion").tolist()))


@dataclasses.dataclass(frozen=True)
class Bulge:
    """rho = (3-g) M R_b / (4 pi r^g (r+R_b)^(4-g)); parameters log10_bulge_mass, log10_bulge_radius, bulge_slope."""

    name: ClassVar[str] = "bulge"

    def circular_velocity_squared(self, values: Values, radius: jax.Array, critical_density: jax.Array) -> jax.Array:
        """G M r^(2-g) / (r+R_b)^(3-g) [km^2/s^2]."""
        slope, scale = values["bulge_slope"], 10 ** values["log10_bulge_radius"]
        power = jnp.exp((2 - slope) * jnp.log(radius) - (3 - slope) * jnp.log(radius + scale))
        return GRAVITATIONAL_CONSTANT * 10 ** values["log10_bulge_mass"] * power

    def tracer(self, values: Values, geometry: Geometry, rotation: Rotation) -> Tracer:
        """Projected density and dispersion; the dispersion is that of the bulge in its own potential."""
        density, dispersion = projected(geometry.sky_radius, values["log10_bulge_radius"], values["bulge_slope"])
        mass, radius = 10 ** values["log10_bulge_mass"], 10 ** values["log10_bulge_radius"]
        return Tracer(
            mass / radius**2 * density,
            jnp.zeros_like(geometry.sky_radius),
            GRAVITATIONAL_CONSTANT * mass / radius * dispersion,
        )

    def face_on_density(self, values: Values, radius: jax.Array) -> jax.Array:
        """Projected density [M_sun/kpc^2]; the same from every side."""
        density, _ = projected(radius, values["log10_bulge_radius"], values["bulge_slope"])
        return 10 ** (values["log10_bulge_mass"] - 2 * values["log10_bulge_radius"]) * density


def projected(radius: jax.Array, log10_scale: jax.Array, slope: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Projected density and squared dispersion of the model with M = R_b = G = 1 at R / R_b.

    Args:
        radius: R [kpc], positive, any shape.
        log10_scale: log10 R_b [kpc], scalar.
        slope: gamma, scalar in [0, 2.4].

    Returns:
        Sigma R_b^2 / M and sigma^2 R_b / (G M), 1e-5 relative within R/R_b = 10^-4.3 ... 10^4.3 and power laws beyond.
    """
    t, outside = stretch(jnp.log(radius) - jnp.log(10.0) * log10_scale, BULGE_HALF_WIDTH)
    g = centred(slope, SLOPE_RANGE)
    # Power laws beyond the tables: those of the cusp inside (for sigma^2 none below g = 1, then R^(g-1), from g = 1.5
    # R^(2-g)), R^-3 and R^-1 outside.
    inner = jnp.minimum(outside, 0)
    outer = jnp.maximum(outside, 0)
    log_density = series(_DENSITY, t, g) + jnp.minimum(1 - slope, 0) * inner - 3 * outer
    log_dispersion = series(_DISPERSION, t, g) + jnp.minimum(jnp.maximum(slope - 1, 0), 2 - slope) * inner - outer
    return jnp.exp(log_density), jnp.exp(log_dispersion)
