"""A galaxy in units of its own: what makes one network serve every mass, luminosity and redshift.

A galaxy that is twice as heavy at the same size rotates faster by the root of two; one at twice the distance and twice
the size looks the same. Maps are therefore divided by amplitudes that follow from the parameters alone, exact and
smooth whatever a single pixel does, and parameters are counted in pixels, in shares, and in ratios.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from ..maps import Maps
from ..model.component import GRAVITATIONAL_CONSTANT, Values
from ..model.halo import scale_radius
from ..model.scene import Scene
from ..parameters import THICKNESSES, default_parameters

STARS = ("bulge", "disc1", "disc2")
CONTEXT = (
    "column",
    "row",
    "cos_position_angle",
    "sin_position_angle",
    "cos_inclination",
    "bulge_slope",
    "k_disc1",
    "k_disc2",
    *(f"log10_{star}_radius" for star in STARS),
    *(f"log10_{star}_mass_share" for star in STARS),
    *(f"log10_{star}_ml_ratio" for star in STARS),
    "log10_halo_fraction",
    "log10_halo_radius",
    "halo_concentration",
)
"""Names of the entries of `context`, lengths in pixels of the low resolution; column and row are the centre's."""


def context_names(components: tuple[str, ...]) -> tuple[str, ...]:
    """Names of the entries of `context` for a model of `components`: `CONTEXT`, and the thicknesses of thick discs."""
    return (*CONTEXT, *(name for name in THICKNESSES if name in default_parameters(components)))


class Amplitudes(NamedTuple):
    """What the maps of a galaxy are measured in, scalars.

    Attributes:
        brightness: log10 of all its light on one pixel [L_sun/kpc^2].
        velocity: circular velocity [km/s] of all its stars at a distance of one pixel.
        ml: its mean mass-to-light ratio [M_sun/L_sun].
    """

    brightness: jax.Array
    velocity: jax.Array
    ml: jax.Array


def amplitudes(values: Values, scene: Scene) -> Amplitudes:
    """Amplitudes of a galaxy.

    Args:
        values: all parameters, scalars.
        scene: of the low resolution.
    """
    mass, light = _totals(values)
    pixel = jnp.log10(scene.kpc_per_pixel)
    velocity = jnp.sqrt(GRAVITATIONAL_CONSTANT) * 10 ** (0.5 * (mass - pixel))
    return Amplitudes(light - 2 * pixel, velocity, 10 ** (mass - light))


def to_scale_free(maps: Maps, unit: Amplitudes) -> jax.Array:
    """Maps (n, n) as one array (n, n, 4) without units; the brightness stays a logarithm."""
    return jnp.stack(
        [
            maps.brightness - unit.brightness,
            maps.velocity / unit.velocity,
            maps.dispersion / unit.velocity,
            maps.ml / unit.ml,
        ],
        axis=-1,
    )


def from_scale_free(stacked: jax.Array, unit: Amplitudes) -> Maps:
    """The reverse of `to_scale_free`."""
    brightness, velocity, dispersion, ml = (stacked[..., i] for i in range(4))
    return Maps(brightness + unit.brightness, velocity * unit.velocity, dispersion * unit.velocity, ml * unit.ml)


def without_zero(unit: Amplitudes) -> Amplitudes:
    """The amplitudes that differences of maps, such as errors, have: a logarithm's zero is of no account there."""
    return unit._replace(brightness=0.0 * unit.brightness)


def context(values: Values, scene: Scene) -> jax.Array:
    """(c,) everything a network can know of a galaxy beyond its maps, see `context_names`.

    Args:
        values: all parameters, scalars.
        scene: of the low resolution.
    """
    mass, light = _totals(values)
    pixel = jnp.log10(scene.kpc_per_pixel)
    angle = values["position_angle"]
    entries = [
        scene.origin[0] + values["x0"] / scene.kpc_per_pixel,
        scene.origin[1] + values["y0"] / scene.kpc_per_pixel,
        jnp.cos(angle),
        jnp.sin(angle),
        jnp.cos(values["inclination"]),
        values["bulge_slope"],
        values["k_disc1"],
        values["k_disc2"],
        *(values[f"log10_{star}_radius"] - pixel for star in STARS),
        *(values[f"log10_{star}_mass"] - mass for star in STARS),
        *(jnp.log10(values[f"ml_{star}"]) - (mass - light) for star in STARS),
        values["log10_halo_fraction"],
        jnp.log10(scale_radius(values, scene.critical_density)) - pixel,
        values["halo_concentration"],
        *(values[name] for name in THICKNESSES if name in values),
    ]
    return jnp.stack(entries)


def _totals(values: Values) -> tuple[jax.Array, jax.Array]:
    """log10 of the mass [M_sun] and the light [L_sun] of all stars."""
    masses = [10 ** values[f"log10_{star}_mass"] for star in STARS]
    light = sum(m / values[f"ml_{star}"] for m, star in zip(masses, STARS, strict=True))
    return jnp.log10(sum(masses)), jnp.log10(light)
