"""Where the truth lies in a posterior: its ranks.

If truths are drawn from the prior, data from the model, and posteriors are right, ranks are uniform (Cook, Gelman &
Rubin 2006, J. Comput. Graph. Stat. 15, 675; Talts et al. 2018, arXiv:1804.06788).
"""

from __future__ import annotations

import numpy as np

from .results import Posterior
from .statistics import circular_mean, wrap


def ranks(posterior: Posterior, rng: np.random.Generator) -> np.ndarray:
    """(ndim,) rank of the truth of every free parameter, between 0 and 1.

    Args:
        posterior: of a mock, whose truth it knows.
        rng: of the random part of the ranks, see `rank`.

    Raises:
        InputError: the truth of a free parameter is not known.
    """
    truth = posterior.parameters.flatten(posterior.truth)
    size, weights = posterior.effective_sample_size, posterior.weights
    return np.array(
        [
            rank(column, weights, value, size, rng, parameter.circle)
            for column, value, parameter in zip(posterior.samples.T, truth, posterior.parameters.free, strict=True)
        ]
    )


def rank(
    values: np.ndarray,
    weights: np.ndarray,
    truth: float,
    size: float,
    rng: np.random.Generator,
    circle: tuple[float, float] | None = None,
) -> float:
    """The share of a posterior below the truth, which counts as one more draw of it.

    For n independent draws of equal weight, (n F + v) / (n + 1) with a uniform v is uniform, exactly, however few there
    are; F is their share below the truth. Draws that are equal to the truth are dealt out likewise.

    Args:
        values: (n,) samples.
        weights: (n,) summing to one.
        truth: in the unit of the samples.
        size: independent samples of equal weight that they are worth.
        rng: of v.
        circle: (low, period) of a periodic quantity. It is cut opposite to the mean of the samples and the truth, as
            one more of them: none of them has a part of its own in where, so ranks stay uniform.
    """
    if circle is not None:
        draws, shares = np.append(values, truth), np.append(weights, 1 / size)
        low = circular_mean(draws, shares, circle[1]) - circle[1] / 2
        values, truth = wrap(values, low, circle[1]), float(wrap(truth, low, circle[1]))
    below, equal = float(weights[values < truth].sum()), float(weights[values == truth].sum())
    return (size * below + (1 + size * equal) * rng.random()) / (size + 1)


def rank_error(rank: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Standard deviation of ranks by finite samples alone: sqrt(u (1 - u) / n) for n independent ones.

    It does not make ranks less uniform, see `rank`; only samples that are worth less than they say do.
    """
    return np.sqrt(rank * (1 - rank) / size)
