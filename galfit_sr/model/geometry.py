"""From the sky to the plane of an inclined disc."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp


class Geometry(NamedTuple):
    """Positions relative to the centre of a galaxy; arrays of one shape, the last two scalar.

    Attributes:
        along, across: the major axis, on the sky [kpc].
        sky_radius: R, distance from the centre on the sky [kpc].
        disc_radius: r, distance from the centre in the disc's plane [kpc].
        cos_azimuth: x'/r, 1 on the receding side of the major axis.
        sin_inclination, cos_inclination: of the disc's plane.
    """

    along: jax.Array
    across: jax.Array
    sky_radius: jax.Array
    disc_radius: jax.Array
    cos_azimuth: jax.Array
    sin_inclination: jax.Array
    cos_inclination: jax.Array


def deproject(values: Mapping[str, jax.Array], x: jax.Array, y: jax.Array, softening: jax.Array) -> Geometry:
    """Geometry of sky positions (x, y) [kpc], relative to the centre (x0, y0).

    Args:
        values: `position_angle` and `inclination` [rad].
        x, y: arrays that broadcast against each other [kpc].
        softening: smallest radius [kpc]; keeps radii, logarithms and their gradients finite at the centre.
    """
    cos_phi, sin_phi = jnp.cos(values["position_angle"]), jnp.sin(values["position_angle"])
    cos_i, sin_i = jnp.cos(values["inclination"]), jnp.sin(values["inclination"])
    along = x * cos_phi + y * sin_phi
    across = y * cos_phi - x * sin_phi
    squared = softening**2
    r = jnp.sqrt(along**2 + (across / cos_i) ** 2 + squared)
    return Geometry(along, across, jnp.sqrt(x**2 + y**2 + squared), r, along / r, sin_i, cos_i)
