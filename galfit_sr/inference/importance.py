"""Importance sampling, and the certificate that says whether its weights can be believed."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from .arviz_library import pareto_smoothed
from .statistics import effective_sample_size


class Weighed(NamedTuple):
    """Draws with Pareto-smoothed importance weights (Vehtari et al. 2024, JMLR 25, 72).

    Attributes:
        log_weights: (n,) normalised.
        log_mean, log_mean_error: natural logarithm of the mean ratio, and its standard deviation.
        khat: shape of the tail of the ratios; from 1 on, not even their mean exists.
        effective: Kish's number of equally weighted draws.
    """

    log_weights: np.ndarray
    log_mean: float
    log_mean_error: float
    khat: float
    effective: float

    @property
    def most_khat(self) -> float:
        """The greatest k-hat at which this many draws can be believed, min(1 - 1/log10(n), 0.7)."""
        return min(1 - 1 / math.log10(self.log_weights.size), 0.7)

    @property
    def certified(self) -> bool:
        """Whether the weights can be believed."""
        return self.khat <= self.most_khat


def weigh(log_ratios: np.ndarray) -> Weighed:
    """Smoothed weights of draws.

    Args:
        log_ratios: (n,) log of target over proposal density, -inf allowed, up to the constants that `log_mean` is to
            hold.
    """
    n = log_ratios.size
    ratios = np.maximum(log_ratios, log_ratios.max() - _DEEPEST)
    if np.ptp(ratios) < _EVEN:
        # No tail to speak of, and none to which a Pareto distribution could be fitted.
        return Weighed(np.full(n, -math.log(n)), float(ratios.mean()), 0.0, 0.0, float(n))
    log_weights, khat = pareto_smoothed(ratios)
    # Smoothing changes only the largest ratios; the least tells the normalisation.
    least = np.argmin(ratios)
    log_mean = float(ratios[least] - log_weights[least] - math.log(n))
    effective = effective_sample_size(np.exp(log_weights))
    error = math.sqrt(max(1 / effective - 1 / n, 0.0))
    return Weighed(log_weights, log_mean, error, khat if math.isfinite(khat) else math.inf, effective)


_DEEPEST = 700.0
_EVEN = 1e-6
