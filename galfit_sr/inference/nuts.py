"""The No-U-Turn sampler (Hoffman & Gelman 2014, JMLR 15, 1593) of NumPyro, in latent coordinates.

The prior is a standard normal there, whatever its bounds, orders and circles are in the parameters; what the data bend
is straightened by the flow of the first answer (Hoffman et al. 2019, arXiv:1903.03704). Chains are spread over all
devices; on a CPU each runs its own trajectories, none waits for the longest.
"""

from __future__ import annotations

import dataclasses
import time
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from numpyro.infer.hmc import HMCState, hmc

from ..devices import devices_for, replicated, spread
from ..errors import InputError
from ..numeric import check_whole, number
from ..progress import Progress
from .arviz_library import bulk_effective, rank_rhat, tail_effective
from .checkpoint import load_state, mark_of, save_state
from .flow import Flow, to_latent, to_straight
from .limits import check_limits, reached
from .mixture import Mixture
from .problem import Arrays, Problem, Target, log_likelihoods, log_standard_normal
from .sampled import Sampled
from .stopwatch import Stopwatch

MOST_RHAT = 1.01
"""Up to which chains count as one distribution (Vehtari et al. 2021, Bayesian Anal. 16, 667)."""
_ROUND = 50
_STAGE = 100
"""Steps of warming up with one mass matrix. NumPyro would learn it anew from each chain's first 25 steps, from which 18
dimensions cannot be learnt; after a stage, those of all chains are a better start than that."""
_MOST_TREE_DEPTH = 8
_TRIES = 100


@dataclasses.dataclass(frozen=True)
class Nuts:
    """Settings of the No-U-Turn sampler.

    Attributes:
        chains: that run beside each other, each from its own draw of the first answer.
        warmup: steps of each chain that adapt step length and coordinates, and are not kept; whole hundreds.
        effective_samples: of the worst parameter, in its bulk and its tails, with which the run ends, once all R-hat
            are below 1.01.
        most_draws: of each chain, with which it ends in any case.
        target_acceptance: that the step length aims at; closer to 1 for posteriors of difficult shapes.
        max_seconds, max_calls: limits that end the run with a marked partial result.
    """

    chains: int = 4
    warmup: int = 300
    effective_samples: int = 1000
    most_draws: int = 4000
    target_acceptance: float = 0.95
    max_seconds: float | None = None
    max_calls: int | None = None

    def __post_init__(self) -> None:
        check_whole(self, chains=2, warmup=_STAGE, effective_samples=1, most_draws=_ROUND)
        if self.warmup % _STAGE:
            raise InputError(f"warmup is {self.warmup}; a multiple of {_STAGE} is needed")
        if not 0 < number(self.target_acceptance) < 1:
            raise InputError(f"target_acceptance is {self.target_acceptance!r}; a number between 0 and 1 is needed")
        check_limits(self)


class _Steps(NamedTuple):
    """What steps of the chains left, (chains, steps, ...).

    Attributes:
        z: latent positions.
        log_density: of the posterior there, less the offset of the likelihood.
        divergent: whether the trajectory's energy ran away.
        gradients: that the step took.
        acceptance: mean Metropolis probability along the trajectory.
    """

    z: Any
    log_density: Any
    divergent: Any
    gradients: Any
    acceptance: Any


def run_nuts(
    problem: Problem,
    mixture: Mixture,
    settings: Nuts,
    seed: int,
    *,
    progress: Progress | None = None,
    checkpoint: Path | None = None,
    resume: bool = False,
) -> Sampled:
    """Samples a posterior.

    Args:
        problem: the galaxy, cut between the modes.
        mixture: first answer: chains start from its draws, with its covariance as the inverse of their mass matrix.
        settings: of the sampler.
        seed: of every random number.
        progress: called with a phrase, the share that is done and a line of details.
        checkpoint: file for chains and their states, written after every round of 50 steps.
        resume: go on from the checkpoint if it is there.

    Raises:
        InputError: the posterior density is not finite where the chains should start, they never leave their starts,
            or a checkpoint is not that of this run.
    """
    began, watch = time.monotonic(), Stopwatch()
    mesh = devices_for(settings.chains)
    arrays, dtype = replicated(problem.arrays, mesh), problem.arrays.shift.dtype
    fixed = dataclasses.replace(settings, effective_samples=1, most_draws=_ROUND, max_seconds=None, max_calls=None)
    mark = mark_of(repr((problem.target, fixed, seed)), problem.arrays, mixture.weights, mixture.flows(dtype))
    chains = _start(problem, mesh, arrays, mixture, settings, seed)
    steps = None
    if resume and checkpoint is not None and checkpoint.exists():
        chains, steps, before = load_state(checkpoint, mark, chains, _Steps)
        watch = Stopwatch(before)
    quality, limited = _judge(steps, settings), False
    while steps is None or not (limited or quality.enough):
        states, more = _advance(problem.target, mesh, settings.target_acceptance, *chains, arrays)
        chains = chains._replace(states=states)
        taken = [np.asarray(a, np.float64) for a in more]
        steps = _Steps(*taken) if steps is None else _Steps(*map(_longer, steps, taken))
        count = steps.z.shape[1]
        if count < settings.warmup and count % _STAGE == 0:
            chains = _whitened(problem, mesh, arrays, chains, steps.z[:, -(count // 2) :], settings)
        if checkpoint is not None:
            save_state(checkpoint, mark, chains, steps, watch.seconds)
        quality = _judge(steps, settings)
        calls = int(np.sum(steps.gradients))
        limited = reached(settings, began, calls)
        if progress is not None:
            progress(quality.stage, quality.share, f"{calls:,} gradients{quality.words}")
    return _collect(problem, steps, quality, watch.seconds, settings)


def _longer(steps: np.ndarray, more: np.ndarray) -> np.ndarray:
    return np.concatenate([steps, more], axis=1)


class _Chains(NamedTuple):
    """States of the chains, whose positions are straight coordinates, and the map from these to latent ones."""

    states: HMCState
    flow: Flow


def _kernel(
    target: Target,
    acceptance: float,
    flow: Flow,
    arrays: Arrays,
    x: jax.Array,
    covariance: jax.Array,
    key: jax.Array,
) -> tuple[HMCState, Any]:
    """The state of a chain at its start, and the function that takes a step."""

    def potential(x):
        z, log_jacobian = to_latent(flow, x)
        return -(target.latent_log_likelihood(z, arrays) + log_standard_normal(z) + log_jacobian)

    start, step = hmc(potential)
    state = start(
        x,
        _STAGE,
        inverse_mass_matrix=covariance,
        dense_mass=True,
        adapt_mass_matrix=False,
        target_accept_prob=acceptance,
        max_tree_depth=_MOST_TREE_DEPTH,
        rng_key=key,
    )
    return state, step


@partial(jax.jit, static_argnums=(0, 1, 2))
def _states(
    target: Target,
    mesh: Mesh,
    acceptance: float,
    z: jax.Array,
    covariances: jax.Array,
    keys: jax.Array,
    flow: Flow,
    arrays: Arrays,
) -> HMCState:
    """States of the chains at latent positions (chains, ndim), with these inverse mass matrices in straight ones."""

    def one(row, flow, arrays):
        z, covariance, key = row
        return _kernel(target, acceptance, flow, arrays, to_straight(flow, z)[0], covariance, key)[0]

    return spread(one, mesh, (z, covariances, keys), flow, arrays)


@partial(jax.jit, static_argnums=(0, 1, 2))
def _advance(
    target: Target, mesh: Mesh, acceptance: float, states: HMCState, flow: Flow, arrays: Arrays
) -> tuple[HMCState, _Steps]:
    """The states of the chains a round of steps later, and the steps."""

    def one(state, flow, arrays):
        adapted = state.adapt_state
        # The start is not evaluated: nothing of it is used.
        _, step = _kernel(target, acceptance, flow, arrays, state.z, adapted.inverse_mass_matrix, state.rng_key)

        def taken(state, _):
            state = step(state)
            z, log_jacobian = to_latent(flow, state.z)
            log_density = -state.potential_energy - log_jacobian
            return state, _Steps(z, log_density, state.diverging, state.num_steps, state.accept_prob)

        return jax.lax.scan(taken, state, length=_ROUND)

    return spread(one, mesh, states, flow, arrays)


def _start(problem: Problem, mesh: Mesh, arrays: Arrays, mixture: Mixture, settings: Nuts, seed: int) -> _Chains:
    """Chains at draws of the mixture at which the density is finite."""
    rng = np.random.default_rng(seed)
    dtype = problem.arrays.shift.dtype
    flows = mixture.flows(dtype)
    components = rng.choice(len(flows), _TRIES, p=mixture.weights)
    x = jnp.asarray(rng.standard_normal((_TRIES, problem.target.ndim)), dtype)
    z = np.stack([_latent(flow, x)[0] for flow in flows])[components, np.arange(_TRIES)]
    chosen = np.flatnonzero(np.isfinite(log_likelihoods(problem, z)))[: settings.chains]
    if len(chosen) < settings.chains:
        raise InputError(
            f"the likelihood is finite at {len(chosen)} of {_TRIES} draws around the first answer; the"
            f" {settings.chains} chains need as many places to start from"
        )
    white = np.broadcast_to(np.eye(z.shape[1]), (settings.chains, z.shape[1], z.shape[1]))
    keys = jax.random.split(jax.random.key(seed), settings.chains)
    return _begun(
        problem, mesh, arrays, settings, flows[np.argmax(mixture.weights)], jnp.asarray(z[chosen]), white, keys
    )


def _whitened(
    problem: Problem, mesh: Mesh, arrays: Arrays, chains: _Chains, draws: np.ndarray, settings: Nuts
) -> _Chains:
    """The chains where they are, with the covariance of draws (c, n, ndim) of all as their inverse mass matrix."""
    states, flow = chains.states, chains.flow
    before = np.asarray(states.adapt_state.inverse_mass_matrix, np.float64).mean(axis=0)
    straight, _ = _straight(flow, jnp.asarray(draws.reshape(-1, draws.shape[-1]), states.z.dtype))
    x = np.asarray(straight, np.float64).reshape(draws.shape)
    offsets = (x - x.mean(axis=1, keepdims=True)).reshape(-1, len(before))
    # What was there before counts as many draws as there are dimensions.
    covariance = (offsets.T @ offsets + len(before) * before) / (len(offsets) + len(before))
    z, _ = _latent(flow, states.z)
    covariances = np.broadcast_to(covariance, (len(z), *covariance.shape))
    return _begun(problem, mesh, arrays, settings, flow, z, covariances, states.rng_key)


_straight = jax.jit(jax.vmap(to_straight, (None, 0)))
_latent = jax.jit(jax.vmap(to_latent, (None, 0)))


def _begun(
    problem: Problem,
    mesh: Mesh,
    arrays: Arrays,
    settings: Nuts,
    flow: Flow,
    z: jax.Array,
    covariances: np.ndarray,
    keys: jax.Array,
) -> _Chains:
    """Chains at latent positions (chains, ndim), with these inverse mass matrices in straight coordinates."""
    # On all devices alike, wherever they come from: chains that begin anew compile nothing.
    z, inverse_mass, keys, flow = replicated((z, jnp.asarray(covariances, z.dtype), keys, flow), mesh)
    states = _states(problem.target, mesh, settings.target_acceptance, z, inverse_mass, keys, flow, arrays)
    return _Chains(states, flow)


class _Quality(NamedTuple):
    """How far the chains have come.

    Attributes:
        rhat: the largest of all parameters; infinite as long as nothing is kept.
        effective: the smallest of all parameters, in bulk and tails.
        divergences: among the steps that are kept.
        enough: whether the run can end.
        share: of the stage that is done; how many steps the second one takes cannot be told from the first.
    """

    rhat: float
    effective: float
    divergences: int
    enough: bool
    share: float

    @property
    def stage(self) -> str:
        """For the line of progress."""
        return "NUTS" if np.isfinite(self.rhat) else "warming up"

    @property
    def words(self) -> str:
        """The same, after the number of gradients."""
        return f", R-hat {self.rhat:.3f}, {self.effective:.0f} effective samples" if np.isfinite(self.rhat) else ""


def _judge(steps: _Steps | None, settings: Nuts) -> _Quality:
    count = 0 if steps is None else steps.z.shape[1]
    kept = count - settings.warmup
    if steps is None or kept < _ROUND:
        return _Quality(np.inf, 0.0, 0, False, count / (settings.warmup + _ROUND))
    z = steps.z[:, settings.warmup :]
    stuck = np.flatnonzero(np.all(np.ptp(z, axis=1) == 0, axis=1))
    if stuck.size:
        raise InputError(
            f"{stuck.size} of {settings.chains} chains never left their start: no step was accepted, as happens where"
            " the likelihood is infinite or not a number nearby; check data and priors, or use the nested sampler"
        )
    rhat = float(np.max(rank_rhat(z)))
    effective = float(min(np.min(bulk_effective(z)), np.min(tail_effective(z))))
    enough = (rhat <= MOST_RHAT and effective >= settings.effective_samples) or kept >= settings.most_draws
    needed = kept * max(settings.effective_samples / effective, 1.0)
    share = min(kept / min(needed, settings.most_draws), 1.0)
    return _Quality(rhat, effective, int(np.sum(steps.divergent[:, settings.warmup :])), enough, share)


def _collect(problem: Problem, steps: _Steps, quality: _Quality, seconds: float, settings: Nuts) -> Sampled:
    # A run that a limit ended while it warmed up still has something to show, and is not converged.
    first = min(settings.warmup, steps.z.shape[1] - _ROUND)
    z = steps.z[:, first:].reshape(-1, problem.target.ndim)
    density = steps.log_density[:, first:].reshape(-1)
    good = quality.rhat <= MOST_RHAT and quality.effective >= settings.effective_samples and quality.divergences == 0
    return Sampled(
        z,
        np.full(len(z), -np.log(len(z))),
        density - np.asarray(log_standard_normal(z)) + problem.offset,
        None,
        None,
        None,
        int(np.sum(steps.gradients)),
        seconds,
        good,
        chains=settings.chains,
        effective=max(quality.effective, 1.0),
        diagnostics={
            "rhat": quality.rhat,
            "effective": quality.effective,
            "divergences": quality.divergences,
            "acceptance": float(np.mean(steps.acceptance[:, first:])),
            "gradients_per_draw": float(np.mean(steps.gradients[:, first:])),
        },
    )
