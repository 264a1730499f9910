"""How far two weighted marginals are apart, and how far Monte Carlo noise alone would put them.

Two sets of samples of one quantity are taken as two weightings of one set of points: a sample of the other set has
weight zero. A bootstrap replicate is then another pair of weightings of the same points, measured like the first.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import rel_entr

from ..inference.statistics import reweighted

MEASURES = ("shift", "width_ratio", "wasserstein", "jensen_shannon")
_TWO_SIDED = np.array([True, True, False, False])
SIGNIFICANCE = 4.0
"""In standard deviations of what Monte Carlo alone gives. Not three, since the walks of a nested sampler leave samples
alike, which is not counted here: seeds scatter 1.1 to 1.3 times as much (docs/compare.md)."""
BINS = 20
"""Of the Jensen-Shannon distance. Gaussians that are half a sigma apart lose 2 % of theirs to the bins."""
REPLICATES = 200
"""Of the bootstrap: errors are known to 1 / sqrt(2 * 200), 5 %."""


class Samples(NamedTuple):
    """Weighted samples of some quantities.

    Attributes:
        values: (n, q), each quantity in its own unit, periodic ones in one piece.
        weights: (n,) summing to one.
        size: independent samples of equal weight that they are worth, see `Posterior.effective_sample_size`.
        log_volume: (n,) of nested samples, see `Posterior`; None for others.
    """

    values: np.ndarray
    weights: np.ndarray
    size: float
    log_volume: np.ndarray | None = None


class Measure(NamedTuple):
    """One number that compares two marginals.

    Attributes:
        value: measured.
        error: its Monte Carlo error, one standard deviation.
        expected: what two finite samples of the reference's own distribution give on average.
        significant: whether the value is beyond `expected` by more than `SIGNIFICANCE` standard deviations of what
            such samples give.
    """

    value: float
    error: float
    expected: float
    significant: bool


def compare_marginals(reference: Samples, other: Samples, seed: int) -> list[dict[str, Measure]]:
    """Each of `MEASURES` for each quantity.

    shift: difference of the means, other less reference, in standard deviations of the reference.
    width_ratio: standard deviation of the other over that of the reference.
    wasserstein: Wasserstein-1 distance, the area between the cumulative distributions, in standard deviations of the
        reference.
    jensen_shannon: Jensen-Shannon distance, the square root of the divergence in bits: 0 for equal marginals, 1 for
        marginals that do not overlap. From a histogram of `BINS` bins that both marginals together fill equally.

    A replicate of nested samples has other volumes (`statistics.reweighted`), and every replicate draws as many samples
    as the weights are worth (Kish). `error` is from replicates of the two, what Monte Carlo alone gives from replicates
    of the reference in place of both.

    Args:
        reference, other: the same quantities, of positive width.
        seed: of the bootstrap.
    """
    rng = np.random.default_rng(seed)
    n, m = len(reference.weights), len(other.weights)
    first, second = np.pad(reference.weights, (0, m)), np.pad(other.weights, (n, 0))
    replicates = (
        np.pad(_replicates(reference, reference.size, rng), ((0, 0), (0, m))),
        np.pad(_replicates(other, other.size, rng), ((0, 0), (n, 0))),
    )
    alone = _replicates(reference, reference.size, rng), _replicates(reference, other.size, rng)
    rows = []
    for own, others in zip(reference.values.T, other.values.T, strict=True):
        points = np.concatenate([own, others])
        edges = _edges(points, first + second)
        value = _measures(points, edges, first, second)
        error = np.std(_measures(points, edges, *replicates), axis=-1)
        noise = _measures(own, _edges(own, reference.weights), *alone)
        expected, scatter = noise.mean(axis=-1), noise.std(axis=-1)
        # Shifts and ratios have two sides; a distance below what is expected is a small one.
        beyond = np.where(_TWO_SIDED, np.abs(value - expected), value - expected)
        significant = beyond > SIGNIFICANCE * scatter
        columns = zip(value.tolist(), error.tolist(), expected.tolist(), significant.tolist(), strict=True)
        rows.append(dict(zip(MEASURES, (Measure(*column) for column in columns), strict=True)))
    return rows


def _replicates(samples: Samples, size: float, rng: np.random.Generator) -> np.ndarray:
    """(REPLICATES, n) weights, each row those of `size` draws with replacement."""
    draws = max(round(size), 2)
    if samples.log_volume is None:
        weights = np.broadcast_to(samples.weights, (REPLICATES, len(samples.weights)))
    else:
        weights = reweighted(samples.weights, samples.log_volume, REPLICATES, rng)
    return rng.multinomial(draws, weights / weights.sum(axis=1, keepdims=True)) / draws


def _edges(points: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(BINS - 1,) inner edges of bins of equal weight."""
    order = np.argsort(points)
    cumulative = np.cumsum(weights[order])
    levels = np.arange(1, BINS) / BINS * cumulative[-1]
    return points[order][np.searchsorted(cumulative, levels)]


def _measures(points: np.ndarray, edges: np.ndarray, reference: np.ndarray, other: np.ndarray) -> np.ndarray:
    """(4, ...) the `MEASURES` of two weightings (..., n) of the points (n,)."""
    order = np.argsort(points)
    # From the lowest point on, so that squares lose no digits to an offset.
    x = points[order] - points[order[0]]
    mean, width, below = _moments(x, reference[..., order])
    other_mean, other_width, other_below = _moments(x, other[..., order])
    area = np.abs(below - other_below)[..., :-1] @ np.diff(x)
    inside = np.searchsorted(points[order], edges, side="right") - 1
    p, q = (np.diff(b[..., inside], axis=-1, prepend=0, append=b[..., -1:]) for b in (below, other_below))
    divergence = 0.5 * np.sum(rel_entr(p, (p + q) / 2) + rel_entr(q, (p + q) / 2), axis=-1) / np.log(2)
    # Rounding can leave equal marginals a divergence just below zero.
    distance = np.sqrt(np.clip(divergence, 0, 1))
    return np.stack([(other_mean - mean) / width, other_width / width, area / width, distance])


def _moments(x: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, standard deviation and cumulative distribution (..., n) of weightings (..., n) of ascending points (n,)."""
    mean = weights @ x
    return mean, np.sqrt(np.maximum(weights @ x**2 - mean**2, 0)), np.cumsum(weights, axis=-1)
