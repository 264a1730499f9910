"""Whether an emulator's error is what it says: residuals in units of it, on galaxies that nothing was learnt from."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any

import jax
import numpy as np

from ..maps import MAP_NAMES
from ..progress import Progress
from .error_learning import learn_error
from .examples import Examples, drawn
from .learning import in_batches
from .measures import CENTRE, distance_from_centre, residuals, rounded
from .network import Network, Weights, estimate_error, unfounded
from .recipe import Recipe

WITHIN = {"68.3 %": (0.683, 1.0), "95.4 %": (0.954, 2.0)}
"""Share of normal numbers -> itself, and how many sigma they are within."""
_AROUND = 8.0
UNSEEN = 2**40
"""Index of the first galaxy that no training reaches."""
LEARNT_FROM = 4096
"""Galaxies that an error is learnt from, at most."""
_BATCH = 64


def calibrate(
    network: Network, weights: Weights, recipe: Recipe, judged: int, seed: int, progress: Progress
) -> tuple[dict[Any, Any], dict[str, Any]]:
    """Learn the error of a network and judge it, on galaxies that nobody has seen before.

    Args:
        network: hyperparameters.
        weights: what it learnt; the error is not looked at.
        recipe: of its pairs; the galaxies are drawn from the prior with its seed, far from the indices of training.
        judged: galaxies to judge by; four times as many, up to 4096, are learnt from.
        seed: of the learning.
        progress: called with stage, fraction done and a few words.

    Returns:
        `Weights.error`, and its `calibration`.
    """
    count = min(LEARNT_FROM, 4 * judged)
    source = drawn(dataclasses.replace(recipe, draws="prior"), count, judged, True)
    some = source.examples(UNSEEN + np.arange(count), "galaxies to learn errors from", progress)
    residual = residuals(network, weights, some)
    added = in_batches(partial(_unfounded, weights), _BATCH, some.low, some.high + residual)
    error = learn_error(residual, added, some, seed, progress)
    del some, added
    others = source.examples(UNSEEN + count + np.arange(judged), "galaxies to judge errors by", progress)
    residual = residuals(network, weights, others)
    sigma = errors(weights._replace(error=error), others, others.high + residual)
    return error, calibration(residual, sigma, others, recipe)


def errors(weights: Weights, examples: Examples, maps: np.ndarray) -> np.ndarray:
    """(n, N, N, 4) scale-free sigmas of the maps (n, N, N, 4) that a network makes of some galaxies."""
    return in_batches(partial(_estimate, weights), _BATCH, examples.low, examples.context, maps)


_estimate = jax.jit(estimate_error)
_unfounded = jax.jit(lambda weights, low, maps: unfounded(low, maps, weights.ranges))


def calibration(residual: np.ndarray, error: np.ndarray, examples: Examples, recipe: Recipe) -> dict[str, Any]:
    """How residuals in units of their error are spread; all of it is 1 if they are standard normal.

    Args:
        residual: (n, N, N, 4) from `residuals`; what is not finite is left out.
        error: (n, N, N, 4) one sigma, in the same units.
        examples: of which.
        recipe: theirs, for the canvases.

    Returns:
        `galaxies`, and for each map and class of pixels: `std`, the root of the mean square (about zero, so that a bias
        counts), and the quantiles `68.3 %` and `95.4 %` of absolute values divided by 1 and 2. The classes: `whole`;
        `centre`, `around` and `far`, pixels within 2 arcsec of the galaxy's centre, from there to 8, and beyond; and
        `quarter 1` to `quarter 4`, pixels of that map from the least to the greatest error. Empty ones are left out.
    """
    distance = distance_from_centre(examples, recipe)
    finite = np.isfinite(residual).all(axis=-1)
    places = {
        "whole": finite,
        "centre": finite & (distance < CENTRE),
        "around": finite & (distance >= CENTRE) & (distance < _AROUND),
        "far": finite & (distance >= _AROUND),
    }
    maps = {}
    for i, name in enumerate(MAP_NAMES):
        ratio, sigma = residual[..., i] / error[..., i], error[..., i]
        quarter = np.digitize(sigma, np.quantile(sigma[finite], (0.25, 0.5, 0.75)))
        classes = places | {f"quarter {k + 1}": finite & (quarter == k) for k in range(4)}
        maps[name] = {key: _spread(ratio[chosen]) for key, chosen in classes.items() if chosen.any()}
    return {"galaxies": len(residual), "maps": maps}


def _spread(ratio: np.ndarray) -> dict[str, float]:
    sizes = {"std": float(np.sqrt(np.mean(ratio**2, dtype=np.float64)))}
    sizes |= {key: float(np.quantile(np.abs(ratio), share)) / sigmas for key, (share, sigmas) in WITHIN.items()}
    return {key: rounded(size) for key, size in sizes.items()}
