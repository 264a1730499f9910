"""What a sampler hands over: weighted samples in latent coordinates, and the evidence."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from .statistics import effective_sample_size


@dataclasses.dataclass(frozen=True, eq=False)
class Sampled:
    """Weighted samples of a posterior.

    Attributes:
        z: (n, ndim) in latent coordinates.
        log_weights: (n,) normalised.
        log_likelihood: (n,) of the likelihood proper, offset included.
        log_evidence, log_evidence_error: natural logarithm and standard deviation; None for Markov chains.
        information: from the prior to the posterior, in nats; None likewise.
        calls: evaluations of the likelihood.
        converged: whether the sampler's own test was passed.
        log_volume: (n,) log of the volume of the sampled density above each sample; None where there is none.
        chains: how many of equal length follow each other in the samples; 1 for nested sampling.
        effective: samples that those of Markov chains, correlated as they are, are worth; None if the weights tell.
        diagnostics: what the sampler says of itself, name -> number.
    """

    z: np.ndarray
    log_weights: np.ndarray
    log_likelihood: np.ndarray
    log_evidence: float | None
    log_evidence_error: float | None
    information: float | None
    calls: int
    converged: bool
    log_volume: np.ndarray | None = None
    chains: int = 1
    effective: float | None = None
    diagnostics: Mapping[str, float] = dataclasses.field(default_factory=dict)

    @property
    def effective_sample_size(self) -> float:
        """Independent samples of equal weight that the samples are worth."""
        return effective_sample_size(np.exp(self.log_weights)) if self.effective is None else self.effective


def information(log_weights: np.ndarray, log_likelihood: np.ndarray, log_evidence: float) -> float:
    """Kullback-Leibler divergence from prior to posterior in nats, from weighted samples (n,)."""
    return float(np.sum(np.exp(log_weights) * (log_likelihood - log_evidence)))


def evidence_error(weights: np.ndarray, log_volume: np.ndarray, counted: np.ndarray | float = 1.0) -> float:
    """Standard deviation of the log evidence by the unknown shrinkage of every step.

    d log Z / d log t_j is the share of the evidence that lies beyond step j, and log t_j scatters by its own mean 1/n_j
    (Skilling 2006, Bayesian Anal. 1, 833): sqrt(H/n) where n is constant. dynesty's own error counts a step by the
    information gained there, which in a dynamic run leaves out the few live points on the way to the bulk.

    Args:
        weights: (n,) of the samples, normalised.
        log_volume: (n,) above each of them.
        counted: share of each step's variance that is not counted elsewhere.
    """
    beyond = np.cumsum(weights[::-1])[::-1]
    return float(np.sqrt(np.sum(counted * (beyond * np.diff(log_volume, prepend=0.0)) ** 2)))
