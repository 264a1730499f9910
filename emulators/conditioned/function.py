"""An emulator that learns nothing: the model where pixels are too coarse for it, an expansion where they are not.

Everything that a network finds hard lies within a few arcseconds of the centre: cusps, the steepest light, velocities
that turn over within one pixel. The parameters say where that is, so there the full model is computed, in a window of a
few pixels, at the price of a small network. Outside, the maps are so smooth that the point spread function acts by its
variance alone: with b = ln(light) and a variance s^2, to second order and exactly for a light that falls exponentially,

    b' = b + s^2/2 (lap b + |grad b|^2)
    V' = V + s^2 (grad b . grad V + lap V / 2)                                  (M/L likewise)
    S'^2 = S^2 + s^2 (|grad V|^2 + grad b . grad S^2 + lap S^2 / 2)

which are a few differences between neighbouring low-resolution pixels, brought to the fine ones by cubic interpolation.
"""

from __future__ import annotations

import dataclasses
import math
from functools import lru_cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from galfit_sr.emulation.emulator import Estimate, Inputs
from galfit_sr.maps import Maps
from galfit_sr.model.galaxy import GalaxyModel
from galfit_sr.model.kernel import Kernel
from galfit_sr.model.scene import Scene

_COLDEST = 1e-4
_LEAST = 1e-4
"""Error that interpolation leaves where the point spread function changes nothing [dex, or relative]."""
_LN10 = math.log(10)


class Optics(NamedTuple):
    """What depends on the point spread functions, which may be the galaxy's own.

    Attributes:
        photometry, kinematics: kernels of the window.
        variances: (2,) of both, that of the pixel included, along one axis [squares of low-resolution pixels].
        error: (4,) how much of the expansion's own scale of error each map shows, see `_expanded`.
    """

    photometry: Kernel
    kinematics: Kernel
    variances: jax.Array | np.ndarray
    error: jax.Array | np.ndarray


@dataclasses.dataclass(frozen=True)
class ExactCentre:
    """The function of the emulator.

    Attributes:
        centre: the model, on the canvas of the window.
        scale: fine pixels along a side of a coarse one.
        blend: width of the zone between both [fine pixels].
    """

    centre: GalaxyModel
    scale: int
    blend: float = 3.0

    def __call__(self, weights: Optics, inputs: Inputs) -> Estimate:
        """Maps (s n, s n) and their errors from those on (n, n)."""
        n, window = inputs.maps.brightness.shape[0], self.centre.canvas.size
        scene, size = inputs.scene, self.scale * inputs.maps.brightness.shape[0]
        expanded, error = _expanded(inputs.maps, weights)
        around = jnp.einsum("yi,xj,mij->myx", _cubic(n, self.scale), _cubic(n, self.scale), jnp.stack(expanded))

        origin = (scene.origin + 0.5) * self.scale - 0.5
        kpc = scene.kpc_per_pixel / self.scale
        place = origin + jnp.stack([inputs.values["x0"], inputs.values["y0"]]) / kpc
        corner = jnp.clip(jnp.round(place - (window - 1) / 2), 0, size - window)
        corner = jax.lax.stop_gradient(corner)
        near = Scene(kpc, origin - corner, scene.critical_density, weights.photometry, weights.kinematics)
        exact = jnp.stack(self.centre(inputs.values, near).maps)

        # One-hot matrices put the window in its place: a gather or a dynamic slice would be slower in a batch.
        fine = jnp.arange(size, dtype=kpc.dtype)
        x, y = (fine - place[i] for i in (0, 1))
        columns, rows = (jnp.asarray(fine[:, None] == corner[i] + fine[None, :window], kpc.dtype) for i in (0, 1))
        share = self._share(x[None, :] ** 2 + y[:, None] ** 2)[None]
        inside = jnp.einsum("yi,xj,mij->myx", rows, columns, exact)
        maps = share * inside + (1 - share) * around
        coarse = jnp.repeat(jnp.repeat(jnp.stack(error), self.scale, axis=1), self.scale, axis=2)
        return Estimate(Maps(*maps), Maps(*((1 - share) * coarse)))

    def _share(self, squared: jax.Array) -> jax.Array:
        """Of the window's maps in the result, at a squared distance from the centre: 1 inside, smoothly to 0."""
        edge = self.centre.canvas.size / 2 - 0.5
        t = jnp.clip((edge - jnp.sqrt(squared + 1e-6)) / self.blend, 0.0, 1.0)
        return t * t * (3 - 2 * t)


def _expanded(maps: Maps, optics: Optics) -> tuple[Maps, Maps]:
    """Coarse maps through the point spread functions, and the scale of what the next order would add."""
    n = maps.brightness.shape[0]
    slope, curvature = (jnp.asarray(m, maps.brightness.dtype) for m in _differences(n))

    def gradient(f: jax.Array) -> jax.Array:
        return jnp.stack([f @ slope.T, slope @ f])

    def laplacian(f: jax.Array) -> jax.Array:
        return f @ curvature.T + curvature @ f

    b, velocity, squared, ml = _LN10 * maps.brightness, maps.velocity, maps.dispersion**2, maps.ml
    of_light, of_velocity = gradient(b), gradient(velocity)
    steepness = jnp.sum(of_light**2, axis=0)
    bend = laplacian(b)
    sharp, blurred = optics.variances

    def carried(f: jax.Array, of_f: jax.Array) -> jax.Array:
        return jnp.sum(of_light * of_f, axis=0) + laplacian(f) / 2

    steps = Maps(
        sharp / 2 * (bend + steepness) / _LN10,
        blurred * carried(velocity, of_velocity),
        blurred * (jnp.sum(of_velocity**2, axis=0) + carried(squared, gradient(squared))),
        sharp * carried(ml, gradient(ml)),
    )
    through = Maps(
        maps.brightness + steps.brightness,
        velocity + steps.velocity,
        jnp.sqrt(jnp.maximum(squared + steps.dispersion, _COLDEST)),
        ml + steps.ml,
    )
    order = jnp.abs(bend) + steepness
    moved = steps._replace(dispersion=through.dispersion - maps.dispersion)
    motion = jnp.sqrt(velocity**2 + squared)
    least = Maps(jnp.ones_like(b), motion, motion, ml)
    variances = (sharp, blurred, blurred, sharp)
    error = (
        k * (v * order * jnp.abs(m) + _LEAST * unit)
        for k, v, m, unit in zip(optics.error, variances, moved, least, strict=True)
    )
    return through, Maps(*error)


@lru_cache
def _cubic(size: int, scale: int) -> np.ndarray:
    """(size * scale, size) Lagrange interpolation through the four nearest pixels, continued at the edges."""
    positions = (np.arange(size * scale) + 0.5) / scale - 0.5
    matrix = np.zeros((positions.size, size))
    for row, position in zip(matrix, positions, strict=True):
        first = int(np.clip(np.floor(position) - 1, 0, size - 4))
        for j in range(first, first + 4):
            others = np.array([k for k in range(first, first + 4) if k != j])
            row[j] = np.prod((position - others) / (j - others))
    return matrix


@lru_cache
def _differences(size: int) -> tuple[np.ndarray, np.ndarray]:
    """(size, size) first and second derivative along an axis by three pixels, one-sided at the edges."""
    slope, curvature = np.zeros((size, size)), np.zeros((size, size))
    for i in range(size):
        first = int(np.clip(i - 1, 0, size - 3))
        powers = np.vander(np.arange(first, first + 3) - i, 3, increasing=True).T
        slope[i, first : first + 3] = np.linalg.solve(powers, [0, 1, 0])
        curvature[i, first : first + 3] = np.linalg.solve(powers, [0, 0, 2])
    return slope, curvature
