"""Mixtures of Gaussians that describe a posterior: around its modes, straight or bent."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np

from .flow import Flow, make_flow, straight_couplings
from .maximum import Mode
from .perceptron import Perceptron

MOST_COMPONENTS = 10


@dataclasses.dataclass(frozen=True, eq=False)
class Mixture:
    """Gaussians in latent coordinates.

    Attributes:
        weights: (k,) positive, summing to one; k is at most `MOST_COMPONENTS`.
        means: (k, ndim).
        covariances: (k, ndim, ndim).
        couplings: (k, ...) what bends each of them, see `flow`; None if all are straight.
    """

    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray
    couplings: Perceptron | None = None

    def flows(self, dtype: jnp.dtype) -> list[Flow]:
        """The map of every component from straight coordinates, in which it is a standard normal."""
        straight = straight_couplings(self.means.shape[1])
        couplings = [
            straight if self.couplings is None else Perceptron(*(a[i] for a in self.couplings))
            for i in range(len(self.weights))
        ]
        return [make_flow(*one, dtype) for one in zip(self.means, self.covariances, couplings, strict=True)]


def laplace_mixture(modes: Sequence[Mode]) -> Mixture:
    """A Gaussian for every mode, the best first, weighted by its evidence in Laplace's approximation."""
    modes = modes[:MOST_COMPONENTS]
    return Mixture(
        mode_weights(np.array([mode.log_evidence for mode in modes])),
        np.stack([mode.z for mode in modes]),
        np.stack([mode.covariance for mode in modes]),
    )


def mode_weights(log_evidences: np.ndarray) -> np.ndarray:
    """(k,) weights in proportion to the square root of the evidences.

    So a mode whose evidence was underestimated still gets its live points.
    """
    shares = np.exp((log_evidences - log_evidences.max()) / 2)
    return shares / shares.sum()
