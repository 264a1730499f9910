"""How good a network is: its errors on galaxies that it did not learn from, in several units.

Two units: those of the publications that networks come from, maps scaled to [0, 1] by the data's own ranges; and those
that matter to a posterior, the noise that maps of a survey have. Errors peak at the centre, so the pixels within 2
arcsec of it are also judged by themselves.
"""

from __future__ import annotations

import dataclasses
import math
from functools import partial
from typing import Any

import jax
import numpy as np

from ..devices import full_precision
from ..maps import MAP_NAMES, MAP_UNITS, TYPICAL_NOISE
from ..parameters import bounds
from .examples import Examples, as_examples
from .learning import batches
from .network import Network, Weights, predict, restored
from .pairs import galaxies, make_pairs, training_prior
from .recipe import Recipe

CENTRE = 2.0
"""Arcsec from the galaxy's centre that count as its centre."""
_BATCH = 32
_MOVED = {
    "inclination": (math.pi / 3, math.radians(75)),
    **{f"log10_{star}_radius": (-2.0, 2.0) for star in ("bulge", "disc1", "disc2")},
}


def outside(recipe: Recipe, count: int) -> Examples:
    """Examples outside the training box, see `outside_box`."""
    far, theta, redshift = outside_box(recipe, count)
    return as_examples(far, make_pairs(far, theta, redshift))


def outside_box(recipe: Recipe, count: int) -> tuple[Recipe, np.ndarray, np.ndarray]:
    """Galaxies like none in training: a design of a recipe, with the box moved.

    They are inclined by 60 to 75 degrees instead of 6 to 60 (those with thick discs by any angle, as in training),
    their radii reach to 10^2 kpc instead of 10^1.5 (stretched from 10^-2 on, which keeps their order), and their
    redshifts are twice as high.

    Args:
        recipe: of the training.
        count: galaxies.

    Returns:
        their recipe, (n, ndim) parameters, (n,) redshifts.
    """
    first, last = recipe.redshift
    far = dataclasses.replace(recipe, redshift=(2 * first, 2 * last))
    theta, redshift = galaxies(far, np.arange(count), count)
    prior = training_prior(recipe.components)
    for name, (c, d) in _MOVED.items():
        a, b = bounds(prior.parameters[name].prior)
        if b < d:
            column = prior.names.index(name)
            theta[:, column] = c + (theta[:, column] - a) * ((d - c) / (b - a))
    return far, theta, redshift


def residuals(network: Network, weights: Weights, examples: Examples) -> np.ndarray:
    """(n, N, N, 4) maps of the network less those of the model, in scale-free units."""
    count = len(examples.low)
    found = np.empty_like(examples.high)
    for rows in batches(count, _BATCH):
        some = _residuals(network, weights, jax.tree.map(lambda array, rows=rows: array[rows], examples))
        # Fewer at the end, which was filled up.
        found[rows[0] : rows[0] + _BATCH] = np.asarray(some)[: count - rows[0]]
    return found


@partial(jax.jit, static_argnames="network")
def _residuals(network: Network, weights: Weights, some: Examples) -> jax.Array:
    with full_precision():
        maps = predict(network, weights.network, weights.ranges, some.low, some.context)
    return restored(maps, weights.ranges) - some.high


def measures(residual: np.ndarray, examples: Examples, recipe: Recipe) -> dict[str, Any]:
    """Errors of a network, rounded to four digits.

    Args:
        residual: (n, N, N, 4) from `residuals`.
        examples: of which.
        recipe: theirs, for the canvases.

    Returns:
        `galaxies`; `not_finite`, how many numbers that the network gave are not; `l1`, mean absolute error of maps
        scaled to [0, 1] by the range of each physical map in these examples; `noise`, rms error of a galaxy in units of
        `TYPICAL_NOISE`, `median` and `p90` over galaxies; and for each map, in its unit, `median` and `p99` of the
        absolute error of a pixel. `whole` is of all pixels, `centre` of those within 2 arcsec of the galaxy's centre.
        What is not finite is left out.
    """
    near = distance_from_centre(examples, recipe) < CENTRE
    finite = np.isfinite(residual).all(axis=-1)
    regions = {"whole": finite, "centre": finite & near}
    squared = {region: np.zeros(len(residual)) for region in regions}
    l1: list[float] = []
    maps: dict[str, dict[str, Any]] = {}
    for i, (name, typical, *linear) in enumerate(zip(MAP_NAMES, TYPICAL_NOISE, *_physical(examples), strict=True)):
        scale, zero = (column[:, None, None] for column in linear)
        absolute = np.abs(residual[..., i]) * scale
        truth = examples.high[..., i] * scale + zero
        l1.append(float(absolute[finite].mean(dtype=np.float64) / np.ptp(truth)))
        maps[name] = {"unit": MAP_UNITS[name]}
        for region, chosen in regions.items():
            median, high = np.percentile(absolute[chosen], (50, 99))
            maps[name][region] = {"median": rounded(median), "p99": rounded(high)}
            squared[region] += np.sum((absolute / typical) ** 2, axis=(1, 2), where=chosen, dtype=np.float64)
    noise = {}
    for region, chosen in regions.items():
        pixels = chosen.sum(axis=(1, 2))
        rms = np.sqrt(squared[region][pixels > 0] / (len(MAP_NAMES) * pixels[pixels > 0]))
        median, high = np.percentile(rms, (50, 90))
        noise[region] = {"median": rounded(median), "p90": rounded(high)}
    not_finite = int(residual.size - np.isfinite(residual).sum())
    return {
        "galaxies": len(residual),
        "not_finite": not_finite,
        "l1": rounded(sum(l1) / len(l1)),
        "noise": noise,
        "maps": maps,
    }


def _physical(examples: Examples) -> tuple[np.ndarray, np.ndarray]:
    """Scale and zero, (4, n) each, that turn scale-free maps into physical ones."""
    brightness, velocity, ml = (np.asarray(amplitude) for amplitude in examples.unit)
    ones, zeros = np.ones_like(velocity), np.zeros_like(velocity)
    return np.stack([ones, velocity, velocity, ml]), np.stack([brightness, zeros, zeros, zeros])


def distance_from_centre(examples: Examples, recipe: Recipe) -> np.ndarray:
    """(n, N, N) arcsec from the galaxy's centre to the pixels' centres."""
    pixels = (np.arange(recipe.high.size) + 0.5) * recipe.high.pixel_scale
    x, y = (pixels - (place[:, None] + 0.5) * recipe.low.pixel_scale for place in examples.context[:, :2].T)
    return np.hypot(x[:, None, :], y[:, :, None])


def rounded(number: float) -> float:
    """To four digits."""
    return float(f"{number:.4g}")
