"""Statistics of weighted samples, on the line and on the circle."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

LEVELS = (0.05, 0.16, 0.5, 0.84, 0.95)


class Statistics(NamedTuple):
    """Mean, standard deviation and the quantiles at `LEVELS`.

    On a circle all of them are measured along the arc around the circular mean and brought back to the range, so that
    q05 > q95 means that the interval contains the point where the range closes.
    """

    mean: float
    std: float
    q05: float
    q16: float
    q50: float
    q84: float
    q95: float


def effective_sample_size(weights: np.ndarray) -> float:
    """Kish's number of equally weighted samples, (sum w)^2 / sum w^2.

    Args:
        weights: (n,) non-negative, of any normalisation.
    """
    return float(weights.sum() ** 2 / np.sum(weights**2))


def equal_weight_rows(weights: np.ndarray, count: int, seed: int) -> np.ndarray:
    """(count,) rows of weighted samples that all count the same, in random order.

    Systematic resampling (Kitagawa 1996, J. Comput. Graph. Stat. 5, 1), which repeats a sample as little as its weight
    allows.
    """
    rng = np.random.default_rng(seed)
    cumulative = np.cumsum(weights)
    steps = (rng.random() + np.arange(count)) / count * cumulative[-1]
    return rng.permutation(np.searchsorted(cumulative, steps, side="right").clip(max=len(cumulative) - 1))


def quantiles(values: np.ndarray, weights: np.ndarray, levels: np.ndarray | tuple[float, ...]) -> np.ndarray:
    """Quantiles of weighted samples, linear between the midpoints of the steps of the cumulative distribution.

    Args:
        values: (n,) samples.
        weights: (n,) non-negative, of any normalisation.
        levels: (q,) between 0 and 1.

    Returns:
        (q,) in the units of `values`.
    """
    order = np.argsort(values, kind="stable")
    cumulative = np.cumsum(weights[order])
    middles = (cumulative - 0.5 * weights[order]) / cumulative[-1]
    return np.interp(np.asarray(levels), middles, values[order])


def wrap(values: np.ndarray | float, low: float, period: float) -> np.ndarray:
    """Bring `values` into [low, low + period) by whole periods."""
    return low + np.mod(np.asarray(values, dtype=np.float64) - low, period)


def circular_mean(values: np.ndarray, weights: np.ndarray, period: float) -> float:
    """Direction of the weighted mean vector, between -period/2 and period/2 (Mardia & Jupp 2000, section 2.2)."""
    turn = 2 * np.pi / period
    return float(np.angle(np.sum(weights * np.exp(1j * turn * values))) / turn)


def unwrapped(values: np.ndarray, weights: np.ndarray, period: float) -> np.ndarray:
    """The samples of a periodic quantity as (n,) numbers within half a period of their circular mean."""
    centre = circular_mean(values, weights, period)
    return wrap(values, centre - period / 2, period)


def reweighted(weights: np.ndarray, log_volume: np.ndarray, m: int, rng: np.random.Generator) -> np.ndarray:
    """Weights of nested samples with volumes as they may have been, in place of their expectation (Skilling 2006).

    The volume above each sample is that above the one before times the largest of k uniform numbers, k being the number
    of live points, which the expected volumes tell. The weight follows the volume and not the shell between two of
    them, whose scatter would count once more that there are as few samples as there are.

    Args:
        weights: (n,) of the samples.
        log_volume: (n,) expected logarithm of the prior volume above the likelihood of each; where it rises, another
            run begins, whose volumes scatter by themselves.
        m: how many sets.
        rng: of the uniform numbers.

    Returns:
        (m, n), each row summing to one.
    """
    log_ratios = []
    for run in np.split(log_volume, np.flatnonzero(np.diff(log_volume) > 0) + 1):
        scatter = np.expm1(-np.diff(run, prepend=0.0))  # one over the live points
        log_ratios.append(-np.cumsum((rng.exponential(size=(m, len(run))) - 1) * scatter, axis=1))
    log_ratio = np.concatenate(log_ratios, axis=1)
    found = weights * np.exp(log_ratio)
    return found / found.sum(axis=1, keepdims=True)


def describe(values: np.ndarray, weights: np.ndarray, circle: tuple[float, float] | None = None) -> Statistics:
    """Statistics of weighted samples.

    Args:
        values: (n,) samples.
        weights: (n,) non-negative, of any normalisation.
        circle: (low, period) of a periodic quantity; None on the line.
    """
    weights = weights / weights.sum()
    line = values if circle is None else unwrapped(values, weights, circle[1])
    average = np.sum(weights * line)
    std = np.sqrt(np.sum(weights * (line - average) ** 2))
    if circle is None:
        return Statistics(float(average), float(std), *map(float, quantiles(line, weights, LEVELS)))
    places = np.array([circular_mean(values, weights, circle[1]), *quantiles(line, weights, LEVELS)])
    mean, *levels = map(float, wrap(places, *circle))
    return Statistics(mean, float(std), *levels)
