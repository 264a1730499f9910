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
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from galfit_sr.emulation.emulator import Estimate, Inputs
from galfit_sr.emulation.network import learnt_error
from galfit_sr.emulation.scale_free import amplitudes, context, from_scale_free, to_scale_free, without_zero
from galfit_sr.maps import Maps
from galfit_sr.model.galaxy import GalaxyModel
from galfit_sr.model.scene import Scene

_COLDEST = 1e-4
_LN10 = math.log(10)


class Optics(NamedTuple):
    """What depends on the point spread functions, which may be the galaxy's own.

    Attributes:
        near: scene of the window, wherever it lies.
        period: scalar, see `scene.period`: the window's corner is a multiple of it, so that its maps are those of the
            whole canvas.
        variances: (2,) of both, that of the pixel included, along one axis [squares of low-resolution pixels].
        growth: (2,) logarithm of how many times those of the default point spread functions they are.
        error: state of the `ErrorNetwork`, whose context ends with `growth`.
    """

    near: Scene
    period: jax.Array | np.ndarray
    variances: jax.Array | np.ndarray
    growth: jax.Array | np.ndarray
    error: Any


@dataclasses.dataclass(frozen=True)
class NoNetwork:
    """In the place of a network's hyperparameters: nothing is learnt but the error, which a bundle holds beside it."""

    def build(self, rngs: nnx.Rngs) -> nnx.Module:
        """A module without weights."""
        return nnx.Module()


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
        expanded = _expanded(inputs.maps, jnp.asarray(weights.variances))
        around = jnp.einsum("yi,xj,mij->myx", _cubic(n, self.scale), _cubic(n, self.scale), jnp.stack(expanded))

        origin = (scene.origin + 0.5) * self.scale - 0.5
        kpc = scene.kpc_per_pixel / self.scale
        place = origin + jnp.stack([inputs.values["x0"], inputs.values["y0"]]) / kpc
        corner = jax.lax.stop_gradient(weights.period * jnp.round((place - (window - 1) / 2) / weights.period))
        # The low resolution's scalars, so that what does not depend on the pixels is computed once for both.
        near = weights.near._replace(kpc_per_pixel=kpc, origin=origin - corner, critical_density=scene.critical_density)
        exact = jnp.stack(self.centre(inputs.values, near).maps)

        # One-hot matrices put the window in its place: a gather or a dynamic slice would be slower in a batch.
        fine = jnp.arange(size, dtype=kpc.dtype)
        x, y = (fine - place[i] for i in (0, 1))
        columns, rows = (jnp.asarray(fine[:, None] == corner[i] + fine[None, :window], kpc.dtype) for i in (0, 1))
        share = self._share(x[None, :] ** 2 + y[:, None] ** 2, weights.period)[None]
        inside = jnp.einsum("yi,xj,mij->myx", rows, columns, exact)
        maps = share * inside + (1 - share) * around
        return Estimate(Maps(*maps), self._error(weights, inputs))

    def _error(self, weights: Optics, inputs: Inputs) -> Maps:
        """Learnt, for galaxies and point spread functions."""
        unit = amplitudes(inputs.values, inputs.scene)
        low, facts = to_scale_free(inputs.maps, unit), context(inputs.values, inputs.scene)
        facts = jnp.concatenate([facts, jnp.asarray(weights.growth, facts.dtype)])
        return from_scale_free(learnt_error(weights.error, low[None], facts[None], self.scale)[0], without_zero(unit))

    def _share(self, squared: jax.Array, period: jax.Array | np.ndarray) -> jax.Array:
        """Of the window's maps in the result, at a squared distance from the centre: 1 inside, smoothly to 0."""
        edge = (self.centre.canvas.size - period) / 2
        t = jnp.clip((edge - jnp.sqrt(squared + 1e-6)) / self.blend, 0.0, 1.0)
        return t * t * (3 - 2 * t)


def _expanded(maps: Maps, variances: jax.Array) -> Maps:
    """Coarse maps through the point spread functions; variances as in `Optics`."""
    n = maps.brightness.shape[0]
    squared = maps.dispersion**2
    fields = jnp.stack([_LN10 * maps.brightness, maps.velocity, squared, maps.ml])
    # All fields and both derivatives in one product along each axis: many small ones take longer than they compute.
    differences = jnp.asarray(_differences(n), fields.dtype)
    along_x = jnp.einsum("mij,kj->mik", fields, differences)
    along_y = jnp.einsum("mij,ki->mkj", fields, differences)
    gradients = jnp.stack([along_x[..., :n], along_y[:, :n]], axis=1)
    laplacians = along_x[..., n:] + along_y[:, n:]
    of_light, of_velocity, *_ = gradients
    steepness = jnp.sum(of_light**2, axis=0)
    sharp, blurred = variances
    _, carried_velocity, carried_squared, carried_ml = jnp.sum(of_light[None] * gradients, axis=1) + laplacians / 2

    steps = Maps(
        sharp / 2 * (laplacians[0] + steepness) / _LN10,
        blurred * carried_velocity,
        blurred * (jnp.sum(of_velocity**2, axis=0) + carried_squared),
        sharp * carried_ml,
    )
    return Maps(
        maps.brightness + steps.brightness,
        maps.velocity + steps.velocity,
        jnp.sqrt(jnp.maximum(squared + steps.dispersion, _COLDEST)),
        maps.ml + steps.ml,
    )


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
def _differences(size: int) -> np.ndarray:
    """(2 size, size) first and, below, second derivative along an axis by three pixels, one-sided at the edges."""
    slope, curvature = np.zeros((size, size)), np.zeros((size, size))
    for i in range(size):
        first = int(np.clip(i - 1, 0, size - 3))
        powers = np.vander(np.arange(first, first + 3) - i, 3, increasing=True).T
        slope[i, first : first + 3] = np.linalg.solve(powers, [0, 1, 0])
        curvature[i, first : first + 3] = np.linalg.solve(powers, [0, 0, 2])
    return np.concatenate([slope, curvature])
