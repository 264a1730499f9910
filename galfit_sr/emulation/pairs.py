"""Training pairs: galaxies of a design, each seen at low resolution without PSF and at high resolution with it."""

from __future__ import annotations

from functools import cache, lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from scipy.interpolate import CubicSpline
from scipy.stats import qmc

from ..devices import devices_for, spread
from ..errors import InputError
from ..maps import MAP_NAMES, Maps
from ..model.galaxy import GalaxyModel
from ..model.scene import Scene, critical_density, kpc_per_arcsec
from ..parameters import default_parameters
from ..priors import Prior
from .recipe import Recipe

BATCH = 256
"""Galaxies that one call of the compiled program takes: a few GB at most where they are computed all at once."""
_NODES = 257


class Pairs(NamedTuple):
    """m galaxies and their maps; NumPy float32 throughout.

    Attributes:
        theta: (m, ndim) free parameters of `training_prior`, in the units of the model.
        redshift: (m,).
        low: (m, n, n) each, units as in `Maps`, at the centres of the low resolution's pixels, without PSF.
        high: (m, N, N) each, as a detector sees them.
    """

    theta: np.ndarray
    redshift: np.ndarray
    low: Maps
    high: Maps


class Split(NamedTuple):
    """Indices of the galaxies of a design, ascending; no galaxy is in both parts.

    Attributes:
        training: what a network learns from.
        validation: what it is judged by.
    """

    training: np.ndarray
    validation: np.ndarray


class _Galaxy(NamedTuple):
    """Arrays of what differs between galaxies: parameters, kpc per pixel at both resolutions, critical density."""

    theta: Any
    low_scale: Any
    high_scale: Any
    density: Any


@cache
def training_prior(components: tuple[str, ...]) -> Prior:
    """Prior of the parameters that emulators of a model are trained for: the default ones."""
    return Prior(default_parameters(components))


def split(recipe: Recipe, total: int, validation: int) -> Split:
    """Which galaxies of a design of `total` are for validation: `validation` of them, drawn by the recipe's seed."""
    # No galaxy has the index `total`: its random numbers are free.
    order = np.random.default_rng([recipe.seed, total]).permutation(total)
    return Split(np.sort(order[validation:]), np.sort(order[:validation]))


def check_indices(indices: np.ndarray, total: int) -> None:
    """Raises InputError unless all indices are from 0 to total - 1."""
    wrong = indices[(indices < 0) | (indices >= total)]
    if wrong.size:
        raise InputError(f"pair {wrong[0]} is not one of {total}; an index from 0 to {total - 1} is needed")


def galaxies(recipe: Recipe, indices: np.ndarray, total: int) -> tuple[np.ndarray, np.ndarray]:
    """Some galaxies of a design, always the same for the same arguments.

    A draw from the prior depends on the seed and its own index only; one of a Latin hypercube on `total` too.

    Args:
        recipe: how they are drawn.
        indices: (m,) whole numbers from 0 to total - 1.
        total: galaxies in the whole design.

    Returns:
        (m, ndim) parameters in the units of the model, and (m,) redshifts, float32.

    Raises:
        InputError: an index beyond the design.
    """
    check_indices(indices, total)
    prior = training_prior(recipe.components)
    dimensions = prior.ndim + 1
    if recipe.draws == "prior":
        cube = np.stack([np.random.default_rng([recipe.seed, i]).random(dimensions) for i in indices.tolist()])
    else:
        cube = _latin_hypercube(recipe.seed, total, dimensions)[indices]
    # In double precision, so that a design does not depend on JAX's setting.
    with jax.enable_x64(True):
        theta = np.asarray(prior.transform(jnp.asarray(cube[:, :-1])), dtype=np.float32)
    first, last = recipe.redshift
    return theta, np.asarray(first * (last / first) ** cube[:, -1], dtype=np.float32)


@lru_cache(maxsize=1)
def _latin_hypercube(seed: int, total: int, dimensions: int) -> np.ndarray:
    return qmc.LatinHypercube(dimensions, rng=seed).random(total)


def make_pairs(recipe: Recipe, theta: np.ndarray, redshift: np.ndarray, batch: int = BATCH) -> Pairs:
    """Compute the maps of galaxies, in single precision, on all devices that share a batch evenly.

    Args:
        recipe: how they are seen.
        theta: (m, ndim) free parameters of `training_prior`, in the units of the model.
        redshift: (m,) within the recipe's range.
        batch: galaxies per call of the compiled program; the last call is filled up.

    Raises:
        InputError: a PSF too narrow for the pixels, or a galaxy whose maps are not finite (a redshift or parameters
            far outside of what the recipe draws).
    """
    scale, density = cosmology(recipe, redshift)
    columns = (theta, scale * recipe.low.pixel_scale, scale * recipe.high.pixel_scale, density)
    every = _Galaxy(*(np.asarray(column, dtype=np.float32) for column in columns))
    mesh = devices_for(batch)
    parts = []
    with jax.enable_x64(False):
        scenes = _scenes(recipe)
        for start in range(0, len(theta), batch):
            rows = np.minimum(np.arange(start, start + batch), len(theta) - 1)
            some = _Galaxy(*(column[rows] for column in every))
            parts.append(jax.device_get(_both_maps(recipe.low_model, recipe.high_model, mesh, some, scenes)))
    low, high = (
        Maps(*(np.concatenate([part[side][i] for part in parts])[: len(theta)] for i in range(len(MAP_NAMES))))
        for side in (0, 1)
    )
    pairs = Pairs(every.theta, np.asarray(redshift, dtype=np.float32), low, high)
    _check_finite(pairs, training_prior(recipe.components).names)
    return pairs


def cosmology(recipe: Recipe, redshift: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Proper kpc per arcsec and critical density [M_sun/kpc^3] at redshifts (m,) of a recipe, (m,) float64 each."""
    scale, density = (spline(np.log(redshift.astype(np.float64))) for spline in _splines(recipe.redshift))
    return scale, density


@lru_cache(maxsize=1)
def _splines(redshift: tuple[float, float]) -> tuple[CubicSpline, CubicSpline]:
    """Proper kpc per arcsec and critical density against log redshift, good to 1e-9; NaN beyond the range."""
    # A margin, since single precision may have moved a redshift out of the range, or the range may be a point.
    nodes = np.geomspace(0.99 * redshift[0], 1.01 * redshift[1], _NODES)
    values = ([function(z) for z in nodes] for function in (kpc_per_arcsec, critical_density))
    return tuple(CubicSpline(np.log(nodes), column, extrapolate=False) for column in values)


@lru_cache(maxsize=1)
def _scenes(recipe: Recipe) -> tuple[Scene, Scene]:
    """Both scenes, for some redshift: the point spread functions do not depend on it."""
    return recipe.low_scene(recipe.redshift[0]), recipe.high_scene(recipe.redshift[0])


@partial(jax.jit, static_argnames=("low", "high", "mesh"))
def _both_maps(
    low: GalaxyModel, high: GalaxyModel, mesh: Mesh, batch: _Galaxy, scenes: tuple[Scene, Scene]
) -> tuple[Maps, Maps]:
    """Maps of a batch of galaxies at both resolutions, (batch, n, n) each."""
    parameters = training_prior(high.components).parameters

    def both(galaxy: _Galaxy, scenes: tuple[Scene, Scene]) -> tuple[Maps, Maps]:
        values = parameters.complete(galaxy.theta)
        scales = (galaxy.low_scale, galaxy.high_scale)
        low_scene, high_scene = (
            scene._replace(kpc_per_pixel=scale, critical_density=galaxy.density)
            for scene, scale in zip(scenes, scales, strict=True)
        )
        return low(values, low_scene).maps, high(values, high_scene).maps

    return spread(both, mesh, batch, scenes)


def _check_finite(pairs: Pairs, names: tuple[str, ...]) -> None:
    finite = np.all([np.isfinite(maps).all(axis=(1, 2)) for maps in (*pairs.low, *pairs.high)], axis=0)
    if not finite.all():
        i = int(np.argmin(finite))
        values = ", ".join(f"{n} = {v:g}" for n, v in zip(names, pairs.theta[i], strict=True))
        raise InputError(
            f"the maps of a galaxy at redshift {pairs.redshift[i]:g} are not finite ({values}); values from the prior"
            " and the recipe's redshifts are needed"
        )
