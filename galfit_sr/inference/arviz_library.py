"""ArviZ, whichever version is installed: 0.x, or 1.x with other names; imported when it is first asked for."""

from __future__ import annotations

import warnings
from functools import partial
from typing import Any

import numpy as np


def arviz() -> Any:
    """The package."""
    with warnings.catch_warnings():
        # ArviZ 0.23 announces its rewrite at import; it is nothing that our users can act on.
        warnings.simplefilter("ignore")
        import arviz as package
    return package


def is_first_arviz() -> bool:
    """Whether it is 0.x."""
    return int(arviz().__version__.split(".")[0]) < 1


def pareto_smoothed(log_ratios: np.ndarray) -> tuple[np.ndarray, float]:
    """Logarithms of Pareto-smoothed importance weights (n,), normalised, and the shape k-hat of their tail.

    Vehtari et al. 2024, JMLR 25, 72.
    """
    # Quantiles of a tail whose shape is beyond a hundred overflow; that such weights are hopeless is told by the shape.
    with np.errstate(over="ignore"):
        if is_first_arviz():
            log_weights, khat = arviz().psislw(np.array(log_ratios))
        else:
            from arviz_stats.base import array_stats

            # It takes the log-likelihoods that leave-one-out ratios are the inverse of.
            log_weights, khat = array_stats.psislw(-np.asarray(log_ratios))
    return np.asarray(log_weights, dtype=np.float64), float(khat)


def rank_rhat(chains: np.ndarray) -> np.ndarray:
    """(ndim,) rank-normalised split R-hat of chains (c, n, ndim), Vehtari et al. 2021, Bayesian Anal. 16, 667."""
    return _by_column("rhat", chains, method="rank")


def bulk_effective(chains: np.ndarray) -> np.ndarray:
    """(ndim,) effective samples of chains (c, n, ndim) for the middle of the distribution, ibid."""
    return _by_column("ess", chains, method="bulk")


def tail_effective(chains: np.ndarray) -> np.ndarray:
    """(ndim,) the same for its 5 % and 95 % quantiles, of which the worse."""
    return _by_column("ess", chains, method="tail", prob=(0.05, 0.95))


def _by_column(statistic: str, chains: np.ndarray, **how: Any) -> np.ndarray:
    """The statistic of every column of chains (c, n, ndim)."""
    if is_first_arviz():
        function = getattr(arviz(), statistic)
    else:
        from arviz_stats.base import array_stats

        function = partial(getattr(array_stats, statistic), chain_axis=0, draw_axis=1)
    return np.array([float(function(column, **how)) for column in np.moveaxis(chains, 2, 0)])
