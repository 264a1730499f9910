"""The density that nested sampling starts from: the prior, or a mixture around a first answer.

Sampling from a density q with the likelihood L pi/q leaves posterior and evidence as they are (prior re-partitioning,
Chen, Feroz & Hobson 2019, arXiv:1908.04655; Petrosyan & Handley 2022, arXiv:2212.01760) and needs far fewer steps when
q resembles the posterior. Ours is defensive: a mixture of bent densities that describe the posterior, each as it is and
in several widths with tails, and a share of the prior itself, in which whatever they miss can still be found. Before
they are bent, those with tails are products of Student's t: where a flow misses the tail of one coordinate, it still
knows those of the others.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.stats import t as student
from scipy.special import ndtri, stdtrit

from .flow import Flow, make_flow, straight_couplings, to_latent, to_straight
from .mixture import MOST_COMPONENTS, Mixture
from .problem import in_chunks, log_standard_normal
from .ridge import Ridge, across

SHAPES = ((np.inf, 1.0, 0.3), (4.0, 1.1, 0.3), (4.0, 2.0, 0.2), (4.0, 4.0, 0.2))
"""Of a component before it is bent: degrees of freedom of Student's t in each coordinate, factor on the scale, share of
the component's weight. The first is the Gaussian itself, as efficient as the flow; the others have tails."""
_FREEDOM, _FACTORS, _SHARES = np.array(SHAPES).T
PRIOR_SHARE = 0.05


class Rivals(NamedTuple):
    """The densities from which other runs start that look for parts of the same posterior, see `strata`.

    Attributes:
        ridge: that is straight in the coordinates of this run.
        ridges, proposals: (k, ...) the same of each of the others, and its density, of which the first `used` count.
        used: scalar.
    """

    ridge: Ridge
    ridges: Ridge
    proposals: Proposal
    used: jax.Array


class Proposal(NamedTuple):
    """Mixture of bent densities and the prior in latent coordinates, of the same shapes for every galaxy.

    Attributes:
        log_prior_share: scalar.
        components: scalar, how many of the k are used.
        log_weights: (k, w) of each component in each width; with the share of the prior they sum to one.
        widths: (k, w, ndim) scales in straight coordinates.
        flows: (k, ...) from straight to latent coordinates.
        rivals: of a run that is one of several.
    """

    log_prior_share: jax.Array
    components: jax.Array
    log_weights: jax.Array
    widths: jax.Array
    flows: Flow
    rivals: Rivals | None = None


def make_proposal(ndim: int, mixture: Mixture | None, dtype: jnp.dtype, rivals: Rivals | None = None) -> Proposal:
    """The prior with a mixture around a first answer, or alone."""
    used = 0 if mixture is None else len(mixture.weights)
    flows = [make_flow(np.zeros(ndim), np.eye(ndim), straight_couplings(ndim), dtype)] * MOST_COMPONENTS
    weights = np.zeros((MOST_COMPONENTS, len(SHAPES)))
    prior_share = 1.0
    if mixture is not None:
        prior_share = PRIOR_SHARE
        weights[:used] = (1 - prior_share) * np.outer(mixture.weights, _SHARES)
        flows[:used] = mixture.flows(dtype)
    # By NumPy, which compiles nothing.
    stacked = jax.tree.map(lambda *leaves: jnp.asarray(np.stack(leaves)), *flows)
    # No wider than the prior: a direction that the data leave open is already covered.
    widest = 1 / jnp.linalg.norm(stacked.basis, axis=1)
    widths = jnp.stack([jnp.clip(widest, 1.0, factor) for factor in _FACTORS.tolist()], axis=1)
    with np.errstate(divide="ignore"):
        logs = jnp.asarray(np.log(prior_share), dtype), jnp.asarray(np.log(weights), dtype)
    return Proposal(logs[0], jnp.asarray(used), logs[1], widths, stacked, rivals)


def log_density(proposal: Proposal, z: jax.Array) -> jax.Array:
    """Log density of the mixture at one latent vector (ndim,); only components that are used are evaluated."""

    def added(number, total):
        log_weights, widths, flow = jax.tree.map(
            lambda a: a[number], (proposal.log_weights, proposal.widths, proposal.flows)
        )
        x, log_jacobian = to_straight(flow, z)
        freedom = jnp.asarray(_FREEDOM[1:, None], x.dtype)
        tails = jnp.sum(student.logpdf(x[None, :], freedom, scale=widths[1:]), axis=1)
        terms = log_weights + jnp.append(log_standard_normal(x), tails) - log_jacobian
        return jnp.logaddexp(total, jax.nn.logsumexp(terms))

    return jax.lax.fori_loop(0, proposal.components, added, proposal.log_prior_share + log_standard_normal(z))


def log_total(proposal: Proposal, z: jax.Array, density: jax.Array) -> jax.Array:
    """Log of the sum of the densities of all runs at one latent vector (ndim,), given that of the proposal itself."""
    rivals = proposal.rivals
    if rivals is None:
        return density
    place = z + across(rivals.ridge, z)

    def added(number, total):
        ridge, rival = jax.tree.map(lambda a: a[number], (rivals.ridges, rivals.proposals))
        # Straightening preserves volumes: densities in the coordinates of all runs compare.
        return jnp.logaddexp(total, log_density(rival, place - across(ridge, place)))

    return jax.lax.fori_loop(0, rivals.used, added, density)


@jax.jit
def batch_log_ratio(proposal: Proposal, z: jax.Array) -> jax.Array:
    """log(q/pi) of latent vectors (m, ndim), q being the sum over all runs."""

    def total(row: jax.Array) -> jax.Array:
        return log_total(proposal, row, log_density(proposal, row))

    return jax.vmap(total)(z) - log_standard_normal(z)


def log_ratio(proposal: Proposal, z: np.ndarray) -> np.ndarray:
    """(m,) float64: log(q/pi) of any number of latent vectors (m, ndim), q being the sum over all runs."""
    return in_chunks(partial(batch_log_ratio, proposal), z, proposal.widths.dtype)


@jax.jit
def _bent(flows: Flow, number: jax.Array, x: jax.Array) -> jax.Array:
    flow = jax.tree.map(lambda a: a[number], flows)
    return jax.vmap(lambda row: to_latent(flow, row)[0])(x)


def from_cube(proposal: Proposal, u: np.ndarray) -> np.ndarray:
    """Unit cube (..., 1 + ndim) to latent vectors (..., ndim): the first coordinate chooses component and width."""
    shares = np.exp(np.append(np.asarray(proposal.log_weights, np.float64), np.float64(proposal.log_prior_share)))
    edges = np.cumsum(shares)
    chosen = np.minimum(np.searchsorted(edges, u[..., 0] * edges[-1], side="right"), edges.size - 1)
    within = np.clip(u[..., 1:], 1e-15, 1 - 1e-15)
    z = ndtri(within)
    widths = np.asarray(proposal.widths, np.float64)
    component, width = np.divmod(chosen, widths.shape[1])
    for number in range(int(proposal.components)):
        mine = component == number
        if np.any(mine):
            # At infinitely many degrees of freedom `stdtrit` is the Gaussian's.
            x = stdtrit(_FREEDOM[width[mine], None], within[mine]) * widths[number, width[mine]]
            z[mine] = in_chunks(partial(_bent, proposal.flows, jnp.asarray(number)), x, proposal.widths.dtype)
    return z
