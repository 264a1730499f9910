"""The density that nested sampling starts from: the prior, or a mixture around a first answer.

Sampling from a density q with the likelihood L pi/q leaves posterior and evidence as they are (prior re-partitioning,
Chen, Feroz & Hobson 2019, arXiv:1908.04655; Petrosyan & Handley 2022, arXiv:2212.01760) and needs far fewer steps when
q resembles the posterior. Ours is defensive: a mixture of Gaussians that describes the posterior roughly, each in
several widths, and a share of the prior itself, in which whatever they miss can still be found.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import ndtri

from .mixture import MOST_COMPONENTS, Mixture
from .problem import log_standard_normal

WIDENINGS = ((1.2, 0.4), (2.0, 0.3), (4.0, 0.3))
"""Factor on the standard deviations of a component, and its share of the component's weight."""
PRIOR_SHARE = 0.05


class Proposal(NamedTuple):
    """Mixture of normal distributions in latent coordinates; the number of components is the same for every galaxy.

    Attributes:
        log_weights: (k,) normalised, -inf for an unused component.
        means: (k, ndim).
        scales: (k, ndim, ndim) lower Cholesky factors of the covariances.
        inverse_scales: (k, ndim, ndim) their inverses.
    """

    log_weights: jax.Array
    means: jax.Array
    scales: jax.Array
    inverse_scales: jax.Array


def make_proposal(ndim: int, mixture: Mixture | None, dtype: jnp.dtype) -> Proposal:
    """The prior with a mixture around a first answer, or alone."""
    count = 1 + MOST_COMPONENTS * len(WIDENINGS)
    weights = np.zeros(count)
    means, scales = np.zeros((count, ndim)), np.tile(np.eye(ndim), (count, 1, 1))
    weights[0] = 1.0
    if mixture is not None:
        weights[0] = PRIOR_SHARE
        components = zip(mixture.weights, mixture.means, mixture.covariances, strict=True)
        pieces = [(*component, wide) for component in components for wide in WIDENINGS]
        for i, (weight, mean, covariance, (factor, part)) in enumerate(pieces, start=1):
            weights[i] = (1 - PRIOR_SHARE) * weight * part
            means[i] = mean
            # No wider than the prior: a direction that the data leave open is already covered.
            scales[i] = np.linalg.cholesky(_capped(covariance * factor**2))
    with np.errstate(divide="ignore"):
        logs = np.log(weights)
    return Proposal(*(jnp.asarray(a, dtype) for a in (logs, means, scales, np.linalg.inv(scales))))


def _capped(covariance: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(covariance)
    return (vectors * np.minimum(values, 1.0)) @ vectors.T


def log_density(proposal: Proposal, z: jax.Array) -> jax.Array:
    """Log density of the mixture at one latent vector (ndim,)."""
    white = jnp.einsum("kij,kj->ki", proposal.inverse_scales, z[None, :] - proposal.means)
    diagonal = jnp.diagonal(proposal.inverse_scales, axis1=1, axis2=2)
    constant = jnp.sum(jnp.log(diagonal), axis=1) - 0.5 * z.size * jnp.log(2 * jnp.pi)
    return jax.nn.logsumexp(proposal.log_weights + constant - 0.5 * jnp.sum(white**2, axis=1))


@jax.jit
def batch_log_ratio(proposal: Proposal, z: jax.Array) -> jax.Array:
    """log(q/pi) of latent vectors (m, ndim)."""
    return jax.vmap(log_density, (None, 0))(proposal, z) - log_standard_normal(z)


def from_cube(proposal: Proposal, u: np.ndarray) -> np.ndarray:
    """Unit cube (..., 1 + ndim) to latent vectors (..., ndim): the first coordinate chooses the component."""
    edges = np.cumsum(np.exp(np.asarray(proposal.log_weights, dtype=np.float64)))
    component = np.minimum(np.searchsorted(edges, u[..., 0] * edges[-1], side="right"), edges.size - 1)
    normal = ndtri(np.clip(u[..., 1:], 1e-15, 1 - 1e-15))
    scales, means = np.asarray(proposal.scales, dtype=np.float64), np.asarray(proposal.means, dtype=np.float64)
    return means[component] + np.einsum("...ij,...j->...i", scales[component], normal)
