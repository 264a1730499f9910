"""What a sampler hands over: weighted samples in latent coordinates, and the evidence."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

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
        seconds: that the sampling took, in all sessions.
        converged: whether the sampler's own test was passed.
        log_volume: (n,) log of the volume of the sampled density above each sample, falling within each of the runs
            that follow each other; None where there is none.
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
    seconds: float
    converged: bool
    log_volume: np.ndarray | None = None
    chains: int = 1
    effective: float | None = None
    diagnostics: Mapping[str, float] = dataclasses.field(default_factory=dict)

    @property
    def effective_sample_size(self) -> float:
        """Independent samples of equal weight that the samples are worth."""
        return effective_sample_size(np.exp(self.log_weights)) if self.effective is None else self.effective


def joined(parts: Sequence[Sampled]) -> Sampled:
    """Samples of one posterior out of those of its parts, whose likelihoods add up to its own."""
    if len(parts) == 1:
        return parts[0]
    evidences = np.array([part.log_evidence for part in parts])
    log_evidence = float(np.logaddexp.reduce(evidences))
    shares = np.exp(evidences - log_evidence)

    def error(errors: Iterable[Any]) -> float:
        return float(np.linalg.norm(shares * np.array([*errors])))

    log_weights = np.concatenate([part.log_weights + np.log(share) for part, share in zip(parts, shares, strict=True)])
    log_likelihood = np.concatenate([part.log_likelihood for part in parts])
    diagnostics: dict[str, float] = {"runs": len(parts)}
    for name in dict.fromkeys(name for part in parts for name in part.diagnostics):
        told = np.array([part.diagnostics.get(name, np.nan) for part in parts])
        known = ~np.isnan(told)
        diagnostics[name] = float(np.average(told[known], weights=np.maximum(shares[known], np.finfo(float).tiny)))
    if "families" in diagnostics:
        diagnostics["families"] = float(1 / np.sum(shares**2 / [part.diagnostics["families"] for part in parts]))
        diagnostics["shrinkage_error"] = error(part.diagnostics["shrinkage_error"] for part in parts)
    return Sampled(
        np.concatenate([part.z for part in parts]),
        log_weights,
        log_likelihood,
        log_evidence,
        error(part.log_evidence_error for part in parts),
        information(log_weights, log_likelihood, log_evidence),
        sum(part.calls for part in parts),
        sum(part.seconds for part in parts),
        all(part.converged for part in parts),
        np.concatenate([cast(np.ndarray, part.log_volume) for part in parts]),
        diagnostics=diagnostics,
    )


def shell_log_weights(value: np.ndarray, log_volume: np.ndarray) -> np.ndarray:
    """(n,) log of likelihood times shell, of points in order; 1/(n+1) of the volume before lies below each on average.

    Args:
        value: (n,) log-likelihoods, increasing.
        log_volume: (n,) above each of them.
    """
    before = np.concatenate([[0.0], log_volume[:-1]])
    return value + before + np.log(-np.expm1(log_volume - before))


def information(log_weights: np.ndarray, log_likelihood: np.ndarray, log_evidence: float) -> float:
    """Kullback-Leibler divergence from prior to posterior in nats, from weighted samples (n,)."""
    return float(np.sum(np.exp(log_weights) * (log_likelihood - log_evidence)))


def evidence_error(weights: np.ndarray, log_volume: np.ndarray, counted: np.ndarray | float = 1.0) -> float:
    """Standard deviation of the log evidence by the unknown shrinkage of every step.

    About sqrt(H/n) where n is constant, see `evidence_effect`. dynesty's own error counts a step by the information
    gained there, which in a dynamic run leaves out the few live points on the way to the bulk.

    Args:
        weights: (n,) of the samples, normalised.
        log_volume: (n,) above each of them.
        counted: share of each step's variance that is not counted elsewhere.
    """
    return float(np.sqrt(np.sum(counted * evidence_effect(weights, log_volume) ** 2)))


def evidence_effect(weights: np.ndarray, log_volume: np.ndarray) -> np.ndarray:
    """(n,) by how much the log evidence scatters, as the shrinkage t_j of every step does.

    log t_j scatters by its own mean, 1/n_j. With t_j grows what lies beyond, and the shell at j shrinks:
    d log Z / d log t_j is the share of the evidence beyond step j, less L_j X_j / Z. Where likelihoods rise steeply the
    second term is small (Skilling 2006, Bayesian Anal. 1, 833); where they are even, volumes do not matter.

    Args:
        weights: (n,) of the samples, normalised.
        log_volume: (n,) above each of them.
    """
    steps = -np.diff(log_volume, prepend=0.0)
    beyond = np.cumsum(weights[::-1])[::-1] - weights
    return (beyond - weights / np.expm1(steps)) * steps
