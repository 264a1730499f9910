"""What a reader should be warned of before believing a posterior, in sentences."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np

from ..emulation.card import Card
from ..emulation.scale_free import context, context_names
from ..maps import KINEMATIC, MAP_WORDS, Observation
from ..model.scene import Scene
from ..parameters import Parameter
from ..priors import bounds
from .correction import in_words
from .residuals import patterns
from .results import Posterior
from .statistics import quantiles, unwrapped

EDGE_WIDTH = 0.02
"""Share of the prior's range that counts as its edge."""
EDGE_SHARE = 0.10
"""Share of the posterior in an edge that is suspicious: five times that of a posterior that learnt nothing."""
LOW_INCLINATION = math.radians(30)
CHI2_TOLERANCE = 0.2
"""Departure of ln(reduced chi^2) from 0 that is let pass however many data there are: errors are never known better."""
CHI2_SIGNIFICANCE = 5.0
"""Standard errors by which the reduced chi^2 of a map may be off."""
FEW_SAMPLES = 400
"""Effective samples below which the 5 % and 95 % quantiles are known to worse than a tenth of a standard deviation."""
DRIFT = 1.5
"""Error of the log evidence, over that by the shrinkage of volumes alone, that is worth a word."""
MOST_UNCOVERED = 0.05
"""Share of independent draws from the posterior, where no run started, that is worth a word."""
_GRID = 200
_DRAWS = 1000
_SMALLEST_MODE = 0.05
_DEEPEST_PASS = 0.3
_LEAST_FOR_MODES = 100


def diagnose(posterior: Posterior, observation: Observation) -> tuple[str, ...]:
    """All warnings that are due, the gravest first; the notes that came with the data last."""
    correlation = posterior.likelihood.get("correlation", 0.0)
    return (
        *convergence(posterior),
        *uncertified(posterior),
        *unfit(posterior.reduced_chi2, observation),
        *patterns(posterior.maps, posterior.binned_maps, posterior.reduced_chi2, observation, correlation),
        *prior_edges(posterior),
        *low_inclination(posterior),
        *separate_modes(posterior),
        *observation.notes,
    )


def outside_training(posterior: Posterior, card: Card, scene: Scene) -> list[str]:
    """What of a posterior lies outside the ranges that its emulator was trained for.

    Args:
        posterior: to be looked at.
        card: of the emulator.
        scene: of its low resolution.
    """
    draws = jnp.asarray(posterior.equal_weight_samples(_DRAWS, posterior.seed), scene.origin.dtype)
    contexts = jax.vmap(lambda vector: context(posterior.parameters.complete(vector), scene))(draws)
    return card.beyond(np.asarray(contexts), context_names(card.recipe.components))


def convergence(posterior: Posterior) -> list[str]:
    """Runs that were cut short, whose samples are too few for the quantiles that are reported, or descend from few."""
    found = []
    if not posterior.converged:
        found.append(
            "The run had not converged when it ended: this is a partial result, and its errors and evidence cannot be"
            " trusted."
        )
    size = posterior.effective_sample_size
    if size < FEW_SAMPLES:
        found.append(
            f"The samples are worth only {size:.0f} independent ones: quantiles far from the median are uncertain (an"
            f" effective sample size of at least {FEW_SAMPLES} is advisable)."
        )
    settings, error = posterior.sampler_settings, posterior.log_evidence_error
    if error is not None and error > DRIFT * settings.get("shrinkage_error", math.inf):
        found.append(
            f"The posterior descends from only about {settings['families']:.1f} of the points that the run began with,"
            " in a part of the parameter space that walks did not leave: its evidence is uncertain by"
            f" {error:.2f}, and another part may have been lost. Compare a run with another seed, or with more live"
            " points."
        )
    uncovered = settings.get("uncovered", 0.0)
    if uncovered > MOST_UNCOVERED:
        found.append(
            f"About {100 * uncovered:.0f} % of the posterior lie beyond bends that could not all be followed, where no"
            " run started: they may have got too little weight. Compare a run with another seed, or NUTS."
        )
    return found


def uncertified(posterior: Posterior) -> list[str]:
    """A correction to the full resolution that did not succeed."""
    correction = posterior.correction
    return [] if correction is None or correction["certified"] else [in_words(correction)]


def unfit(reduced_chi2: Mapping[str, float], observation: Observation) -> list[str]:
    """Maps whose reduced chi^2 is far from 1, given the number of data and the precision of any error estimate."""
    numbers = data_counts(observation)
    found = []
    for name, chi2 in reduced_chi2.items():
        number = numbers.get(name, 0)
        # In the logarithm, so that far below 1 is as far as far above, also for few data.
        allowed = max(CHI2_TOLERANCE, CHI2_SIGNIFICANCE * math.sqrt(2 / max(number, 1)))
        if chi2 > 0 and abs(math.log(chi2)) <= allowed:
            continue
        kind = "bins" if name in KINEMATIC and observation.bins is not None else "pixels"
        what = f"The reduced chi^2 of the {MAP_WORDS[name]} map is {chi2:.2f} ({number} {kind})"
        if chi2 < 1:
            found.append(f"{what}: its errors look overestimated, and so will be those of the parameters.")
        else:
            found.append(
                f"{what}: the model does not describe this map to within its errors, or these are underestimated; the"
                " errors of the parameters are then too small."
            )
    return found


def data_counts(observation: Observation) -> dict[str, int]:
    """Available map -> how many data it holds, every bin counted once."""
    labels = {name: observation.labels(name) for name in observation.available}
    return {name: len(np.unique(own[own >= 0])) for name, own in labels.items()}


def prior_edges(posterior: Posterior) -> list[str]:
    """Parameters whose posterior leans on a bound of the prior; periodic ones have none."""
    found = []
    weights = posterior.weights
    for parameter, column in zip(posterior.parameters.free, posterior.samples.T, strict=True):
        low, high = bounds(parameter.prior)
        if parameter.circle is not None or not (math.isfinite(low) and math.isfinite(high)):
            continue
        width = EDGE_WIDTH * (high - low)
        for side, bound, near in (("lower", low, column < low + width), ("upper", high, column > high - width)):
            share = float(np.sum(weights[near]))
            if share > EDGE_SHARE:
                found.append(
                    f"{parameter.name} leans on the {side} edge of its prior, {_value(bound, parameter)}:"
                    f" {100 * share:.0f} % of the posterior lies within {100 * EDGE_WIDTH:.0f} % of it, and the true"
                    " value may lie beyond."
                )
    return found


def low_inclination(posterior: Posterior) -> list[str]:
    """Galaxies so close to face-on that rotation hardly tells mass from inclination."""
    if "inclination" not in posterior.parameters:
        return []
    median = float(quantiles(posterior.columns()["inclination"], posterior.weights, (0.5,))[0])
    if median >= LOW_INCLINATION:
        return []
    return [
        f"The inclination is {math.degrees(median):.0f} deg, close to face-on: the observed rotation goes as v sin(i),"
        " so that mass and inclination trade places, and each is known only as well as the prior on the other."
    ]


def separate_modes(posterior: Posterior) -> list[str]:
    """Parameters whose marginal posterior falls apart in two or more pieces."""
    if posterior.effective_sample_size < _LEAST_FOR_MODES:
        return []
    found = []
    for parameter, column in zip(posterior.parameters.free, posterior.samples.T, strict=True):
        around = parameter.circle
        line = column if around is None else unwrapped(column, posterior.weights, around[1])
        modes = marginal_modes(line, posterior.weights, posterior.effective_sample_size)
        if len(modes) > 1:
            places = ", ".join(f"{_value(place, parameter)} ({100 * share:.0f} %)" for place, share in modes)
            found.append(
                f"{parameter.name} has {len(modes)} separate modes, near {places}: its mean and standard deviation"
                " describe none of them."
            )
    return found


def marginal_modes(values: np.ndarray, weights: np.ndarray, effective_size: float) -> list[tuple[float, float]]:
    """Modes of a one-dimensional density that are separated by a valley.

    A kernel density estimate with half of Silverman's bandwidth (his is made for a single Gaussian and fills valleys);
    two neighbouring peaks are one mode unless the density between them falls below 0.3 of the lower peak, and a mode
    holds at least 5 % of the weight.

    Args:
        values, weights: (n,) samples and their weights, normalised.
        effective_size: how many equally weighted samples they are worth.

    Returns:
        (place of the peak, share of the weight) of each mode, in ascending order of place.
    """
    low, first, third, high = quantiles(values, weights, (0.001, 0.25, 0.75, 0.999))
    mean = np.sum(weights * values)
    spread = min(float(np.sqrt(np.sum(weights * (values - mean) ** 2))), (third - first) / 1.34)
    if not (spread > 0 and high > low):
        return [(float(mean), 1.0)]
    bandwidth = 0.45 * spread * effective_size**-0.2
    grid = np.linspace(low - 3 * bandwidth, high + 3 * bandwidth, _GRID)
    step = grid[1] - grid[0]
    histogram, _ = np.histogram(values, bins=np.append(grid - step / 2, grid[-1] + step / 2), weights=weights)
    kernel = np.exp(-0.5 * ((grid[:, None] - grid) / max(bandwidth, step)) ** 2)
    density = kernel @ histogram
    return _merge(grid, density)


def _merge(grid: np.ndarray, density: np.ndarray) -> list[tuple[float, float]]:
    # Few samples far away leave the bulk in the first or last cell: an end can be a peak.
    rising = np.diff(density, prepend=0.0, append=0.0) > 0
    peaks = [int(i) for i in np.flatnonzero(rising[:-1] & ~rising[1:])]
    kept: list[int] = []
    for peak in peaks:
        if kept and density[kept[-1] : peak].min() > _DEEPEST_PASS * min(density[kept[-1]], density[peak]):
            kept[-1] = max(kept[-1], peak, key=lambda i: density[i])
        else:
            kept.append(peak)
    passes = [i + int(np.argmin(density[i:j])) for i, j in pairwise(kept)]
    edges = [0, *passes, len(grid)]
    shares = [density[a:b].sum() / density.sum() for a, b in pairwise(edges)]
    modes = [(float(grid[i]), float(s)) for i, s in zip(kept, shares, strict=True) if s >= _SMALLEST_MODE]
    return modes or [(float(grid[int(np.argmax(density))]), 1.0)]


def _value(value: float, parameter: Parameter) -> str:
    if parameter.unit == "rad":
        return f"{value:.3g} rad ({math.degrees(value):.0f} deg)"
    return f"{value:.3g}" if parameter.unit in ("", "dex") else f"{value:.3g} {parameter.unit}"
