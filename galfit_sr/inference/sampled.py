"""What a sampler hands over: weighted samples in latent coordinates, and the evidence."""

from __future__ import annotations

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class Sampled:
    """Weighted samples of a posterior.

    Attributes:
        z: (n, ndim) in latent coordinates.
        log_weights: (n,) normalised.
        log_likelihood: (n,) of the likelihood proper, offset included.
        log_evidence, log_evidence_error: natural logarithm and standard deviation.
        information: from the prior to the posterior, in nats.
        calls: evaluations of the likelihood.
        converged: whether the sampler's own test was passed.
        log_volume: (n,) log of the volume of the sampled density above each sample; None where there is none.
        acceptance: mean share of accepted steps; NaN where there were none.
    """

    z: np.ndarray
    log_weights: np.ndarray
    log_likelihood: np.ndarray
    log_evidence: float
    log_evidence_error: float
    information: float
    calls: int
    converged: bool
    log_volume: np.ndarray | None = None
    acceptance: float = float("nan")


def information(log_weights: np.ndarray, log_likelihood: np.ndarray, log_evidence: float) -> float:
    """Kullback-Leibler divergence from prior to posterior in nats, from weighted samples (n,)."""
    return float(np.sum(np.exp(log_weights) * (log_likelihood - log_evidence)))
