"""What a component of a galaxy is: the seam behind which bulge, discs, halo and any later one stand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol, runtime_checkable

import jax

from .geometry import Geometry

GRAVITATIONAL_CONSTANT = 4.30091e-6
"""G in kpc (km/s)^2 / M_sun."""

Values = Mapping[str, jax.Array]


class Rotation(NamedTuple):
    """The circular velocity of the whole galaxy, in the discs' plane [km/s].

    Attributes:
        in_plane: at the geometry's `disc_radius`, once for all discs: gradients flow back through it once as well.
        at: the same of a radius [kpc] of any shape.
    """

    in_plane: jax.Array
    at: Callable[[jax.Array], jax.Array]


class Tracer(NamedTuple):
    """How the stars of a component look from here; arrays of the geometry's shape.

    Attributes:
        density: projected mass density on the sky [M_sun/kpc^2].
        velocity: mean line-of-sight velocity [km/s].
        dispersion_squared: variance of the line-of-sight velocity [km^2/s^2].
    """

    density: jax.Array
    velocity: jax.Array
    dispersion_squared: jax.Array


class Component(Protocol):
    """A mass that the stars move in: pure functions of plain arrays. A model is a tuple of components."""

    @property
    def name(self) -> str:
        """`bulge`, `disc1`, ...; its parameters carry this name."""

    def circular_velocity_squared(self, values: Values, radius: jax.Array, critical_density: jax.Array) -> jax.Array:
        """v_c^2 [km^2/s^2] at a radius [kpc] in the disc's plane."""


@runtime_checkable
class StellarComponent(Component, Protocol):
    """A component that shines, with mass-to-light ratio `ml_<name>`."""

    def tracer(self, values: Values, geometry: Geometry, rotation: Rotation) -> Tracer:
        """Its stars, in a galaxy with that rotation."""

    def face_on_density(self, values: Values, radius: jax.Array) -> jax.Array:
        """Projected mass density [M_sun/kpc^2] at a radius [kpc], seen face-on."""
