"""Mixtures of Gaussians that describe a posterior roughly: around its modes, or fitted to samples from anywhere."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from scipy.linalg import solve_triangular

from .maximum import Mode
from .statistics import effective_sample_size

MOST_COMPONENTS = 8
_CANDIDATES = (1, 2, 4, MOST_COMPONENTS)
_ITERATIONS = 60


@dataclasses.dataclass(frozen=True, eq=False)
class Mixture:
    """Gaussians in latent coordinates.

    Attributes:
        weights: (k,) positive, summing to one; k is at most `MOST_COMPONENTS`.
        means: (k, ndim).
        covariances: (k, ndim, ndim).
    """

    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray


def laplace_mixture(modes: Sequence[Mode]) -> Mixture:
    """A Gaussian for every mode, the best first.

    Their weights are in proportion to the square root of their evidence by Laplace's approximation, so that a mode
    whose evidence was underestimated still gets its live points.
    """
    modes = modes[:MOST_COMPONENTS]
    evidence = np.array([mode.log_evidence for mode in modes])
    shares = np.exp((evidence - evidence.max()) / 2)
    return Mixture(
        shares / shares.sum(), np.stack([mode.z for mode in modes]), np.stack([mode.covariance for mode in modes])
    )


def fit_mixture(draws: np.ndarray, weights: np.ndarray, seed: int) -> Mixture:
    """The mixture that describes weighted samples best, of one to eight components.

    The number of components is the one under which half of the samples, fitted alone, make the other half most likely.

    Args:
        draws: (n, ndim) latent positions of a posterior: a chain's, a nested run's, or those of an emulator.
        weights: (n,) positive, summing to one.
        seed: of the halves and of the first assignment.
    """
    rng = np.random.default_rng(seed)
    first = rng.permutation(len(draws)) < len(draws) // 2

    def judged(count: int) -> float:
        fitted = _expectation_maximisation(draws[first], weights[first] / weights[first].sum(), count, seed)
        return float(np.logaddexp.reduce(_log_terms(fitted, draws[~first]), axis=1) @ weights[~first])

    return _expectation_maximisation(draws, weights, max(_CANDIDATES, key=judged), seed)


def _expectation_maximisation(draws: np.ndarray, weights: np.ndarray, count: int, seed: int) -> Mixture:
    """`count` components by expectation maximisation (Dempster, Laird & Rubin 1977), started from k-means.

    A covariance counts its own samples and, as if it were as many samples as there are dimensions, the mean covariance
    within the components: few samples make no needles.
    """
    ndim = draws.shape[1]
    size = effective_sample_size(weights)
    assigned = _nearest(draws, weights, count, seed)
    shares = np.eye(count)[assigned]
    for _ in range(_ITERATIONS):
        held = shares * weights[:, None]
        total = held.sum(axis=0) + 1e-12
        means = (held.T @ draws) / total[:, None]
        offsets = draws[:, None, :] - means
        scatter = np.einsum("nk,nki,nkj->kij", held, offsets, offsets, optimize=True)
        within = scatter.sum(axis=0)
        own = (total * size)[:, None, None]
        covariances = (size * scatter + ndim * within) / (own + ndim)
        fitted = Mixture(total / total.sum(), means, covariances)
        terms = _log_terms(fitted, draws)
        shares = np.exp(terms - np.logaddexp.reduce(terms, axis=1, keepdims=True))
    return fitted


def _nearest(draws: np.ndarray, weights: np.ndarray, count: int, seed: int) -> np.ndarray:
    """(n,) cluster of each sample by k-means in coordinates of unit variance, seeded far apart (k-means++)."""
    rng = np.random.default_rng(seed)
    white = (draws - weights @ draws) / np.sqrt(weights @ (draws - weights @ draws) ** 2)
    centres = white[rng.choice(len(white), 1, p=weights)]
    for _ in range(count - 1):
        gap = np.min(np.sum((white[:, None] - centres) ** 2, axis=2), axis=1) * weights
        centres = np.append(centres, white[rng.choice(len(white), 1, p=gap / gap.sum())], axis=0)
    for _ in range(20):
        nearest = np.argmin(np.sum((white[:, None] - centres) ** 2, axis=2), axis=1)
        centres = np.stack(
            [
                np.average(white[nearest == i], axis=0, weights=weights[nearest == i]) if np.any(nearest == i) else c
                for i, c in enumerate(centres)
            ]
        )
    return nearest


def _log_terms(mixture: Mixture, draws: np.ndarray) -> np.ndarray:
    """(n, k) log of weight times density of every component."""
    columns = []
    for weight, mean, covariance in zip(mixture.weights, mixture.means, mixture.covariances, strict=True):
        scale = np.linalg.cholesky(covariance)
        white = solve_triangular(scale, (draws - mean).T, lower=True)
        constant = np.log(weight) - np.sum(np.log(np.diag(scale))) - 0.5 * draws.shape[1] * np.log(2 * np.pi)
        columns.append(constant - 0.5 * np.sum(white**2, axis=0))
    return np.stack(columns, axis=1)
