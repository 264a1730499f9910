"""The first answer bent into the shape of the posterior, by variational inference with the gradients of the likelihood.

A flow is trained (Rezende & Mohamed 2015, arXiv:1505.05770; as a map for samplers, Hoffman et al. 2019,
arXiv:1903.03704) to minimise first the Kullback-Leibler divergence from the posterior to itself, which finds the
posterior and misses its tails, then Renyi's divergence of order one half (Li & Turner 2016, arXiv:1602.02311), under
which draws count by the root of their importance weight and tails are filled. The noise of the gradients vanishes as
the flow comes close (Roeder, Wu & Duvenaud 2017, arXiv:1703.09194); its weights are averaged over the steps. It need
not succeed: it only shapes the density from which a sampler starts.
"""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree
from jax.sharding import Mesh

from ..devices import devices_for, replicated, spread
from ..progress import Progress
from .flow import Flow, make_flow, to_latent, to_straight, untrained_couplings
from .importance import weigh
from .maximum import Mode
from .mixture import MOST_COMPONENTS, Mixture, laplace_mixture, mode_weights
from .perceptron import Perceptron
from .problem import CHUNK, Arrays, Problem, Target, log_likelihoods, log_standard_normal

_BATCH, _STEPS = 32, 250
"""Draws of a step, steps of a round."""
_ROUNDS, _FINDS = 8, 2
"""Rounds, and how many of them at most find the posterior before the others fill the tails: what a flow misses it does
not draw, so that its efficiency tells little before."""
_FILLING = 0.5
"""Power of a draw's importance weight by which it counts when tails are filled."""
_PATIENCE, _MORE = 2, 1.25
"""Rounds that may pass before the efficiency has risen by this factor."""
_RATE, _KEPT, _MOST_NORM = 2e-3, 0.99, 10.0
_DEPTH = 5.0
"""Nats per dimension below the best draw of a step at which the pull of the posterior on a draw is halved: at first the
arms of a bent posterior lie thousands of nats up, and their draws would drag everything to its middle."""
HOPELESS = 7.0
"""Nats by which a mode's evidence may lie below the best before more rounds are spent on it."""
_EFFICIENT = 0.5
"""Efficiency of importance sampling from the flow at which it is good enough."""


class _Training(NamedTuple):
    """Weights of the couplings as one vector, their average over the steps, and the state of the optimiser."""

    weights: jax.Array
    average: jax.Array
    optimiser: optax.OptState


@dataclasses.dataclass(frozen=True, eq=False)
class _BentMode:
    """A mode's flow after some rounds.

    Attributes:
        couplings: trained.
        efficiency: of importance sampling from the flow.
        log_evidence: of the mode, by that sampling, less the offset of the likelihood.
        calls: likelihoods and gradients so far.
    """

    couplings: Perceptron
    efficiency: float
    log_evidence: float
    calls: int


class Bent(NamedTuple):
    """Gaussians bent into the shape of a posterior.

    Attributes:
        mixture: of them.
        log_evidence: of the posterior, by importance sampling from each, less the offset of the likelihood.
        calls: likelihoods and gradients that it took.
    """

    mixture: Mixture
    log_evidence: float
    calls: int


def bend(
    problem: Problem,
    modes: tuple[Mode, ...],
    seed: int,
    progress: Progress | None = None,
    best: float = -np.inf,
) -> Bent:
    """Gaussians around the modes, each bent into the shape of the posterior there.

    Args:
        problem: the galaxy, cut between its modes.
        modes: as found, the best first.
        seed: of the draws and of the networks' first weights.
        progress: called with a phrase, None and a few words.
        best: log evidence of other modes; on one that is hopeless beside it no time is spent.
    """
    modes = modes[:MOST_COMPONENTS]
    found: list[_BentMode] = []
    for number, mode in enumerate(modes):
        name = f"mode {number + 1} of {len(modes)}"
        found.append(_bent(problem, mode, best, np.random.SeedSequence((seed, number)), name, progress))
        best = max(best, found[-1].log_evidence)
    evidences = np.array([one.log_evidence for one in found])
    mixture = dataclasses.replace(
        laplace_mixture(modes),
        weights=mode_weights(evidences),
        couplings=jax.tree.map(lambda *leaves: np.stack(leaves), *(one.couplings for one in found)),
    )
    return Bent(mixture, float(np.logaddexp.reduce(evidences)), sum(one.calls for one in found))


def _bent(
    problem: Problem, mode: Mode, best: float, seed: np.random.SeedSequence, name: str, progress: Progress | None
) -> _BentMode:
    weights_seed, draws_seed = (int(word) for word in seed.generate_state(2))
    dtype = problem.arrays.shift.dtype
    mesh = devices_for(_BATCH)
    flow = make_flow(mode.z, mode.covariance, untrained_couplings(mode.z.size, weights_seed), dtype)
    # One vector for the optimiser: leaf by leaf it takes three times as long to compile.
    weights, couplings_of = ravel_pytree(flow.couplings)
    training = _Training(weights, weights, _optimiser().init(weights))
    flow, training, arrays = replicated((flow, training, problem.arrays), mesh)
    key, draws_key = jax.random.split(jax.random.key(draws_seed))
    words = name
    finding: list[_BentMode] = []
    filling: list[_BentMode] = []
    for number in range(_ROUNDS):
        if progress is not None:
            progress("bending", None, words)
        fills = number >= _FINDS or any(one.efficiency > _EFFICIENT for one in finding)
        power = jnp.asarray(_FILLING if fills else 0.0, dtype)
        round_key = jax.random.fold_in(key, number)
        training = _train(problem.target, mesh, flow, training, power, round_key, arrays)
        averaged = flow._replace(couplings=couplings_of(training.average))
        weighed = weigh(_log_ratios(problem, averaged, draws_key))
        couplings = Perceptron(*(np.asarray(a, np.float32) for a in averaged.couplings))
        calls = (number + 1) * (_BATCH * _STEPS + CHUNK)
        bent = _BentMode(couplings, weighed.effective / CHUNK, weighed.log_mean, calls)
        (filling if fills else finding).append(bent)
        words = f"{name}, {bent.efficiency:.0%} efficient"
        enough = fills and (bent.efficiency > _EFFICIENT or _stalled(filling))
        if enough or bent.log_evidence < best - HOPELESS:
            break
    chosen = max(filling or finding[-1:], key=lambda one: one.efficiency)
    return dataclasses.replace(chosen, calls=calls)


def _stalled(rounds: list[_BentMode]) -> bool:
    """Whether the last rounds that filled tails have brought little."""
    efficiencies = [one.efficiency for one in rounds]
    before, last = efficiencies[:-_PATIENCE], efficiencies[-_PATIENCE:]
    return bool(before) and max(last) < _MORE * max(before)


def _log_ratios(problem: Problem, flow: Flow, key: jax.Array) -> np.ndarray:
    """(CHUNK,) log of posterior over flow, up to the evidence and the offset, at draws from the flow."""
    z, log_density = _draws(flow, key)
    values = log_likelihoods(problem, np.asarray(z, np.float64)) + np.asarray(log_standard_normal(z) - log_density)
    return np.where(np.isfinite(values), values, -np.inf)


@jax.jit
def _draws(flow: Flow, key: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Latent draws (CHUNK, ndim) from a flow, and the log of its density there (CHUNK,)."""
    x = jax.random.normal(key, (CHUNK, flow.centre.size), flow.centre.dtype)
    z, log_jacobian = jax.vmap(to_latent, (None, 0))(flow, x)
    return z, log_standard_normal(x) - log_jacobian


def _optimiser() -> optax.GradientTransformation:
    """Adam; far from the posterior gradients are huge, where they are not finite they count as none."""
    return optax.chain(optax.zero_nans(), optax.clip_by_global_norm(_MOST_NORM), optax.adam(_RATE))


@partial(jax.jit, static_argnums=(0, 1))
def _train(
    target: Target, mesh: Mesh, flow: Flow, training: _Training, power: jax.Array, key: jax.Array, arrays: Arrays
) -> _Training:
    """A round of steps; of the flow all but the couplings stays as it is."""
    optimiser = _optimiser()
    couplings_of = ravel_pytree(flow.couplings)[1]

    def log_posterior(z, arrays):
        value, gradient = jax.value_and_grad(
            lambda z: target.latent_log_likelihood(z, arrays) + log_standard_normal(z)
        )(z)
        usable = jnp.isfinite(value) & jnp.all(jnp.isfinite(gradient))
        return jnp.where(usable, value, -jnp.inf), jnp.where(usable, gradient, 0.0)

    def step(state, key):
        x = jax.random.normal(key, (_BATCH, flow.centre.size), flow.centre.dtype)
        held = flow._replace(couplings=couplings_of(state.weights))

        def draws(weights):
            bent = flow._replace(couplings=couplings_of(weights))
            return jax.vmap(lambda row: to_latent(bent, row)[0])(x)

        def log_flow(z):
            straight, log_jacobian = to_straight(held, z)
            return log_standard_normal(straight) - log_jacobian

        z, back = jax.vjp(draws, state.weights)
        value, posterior_slope = spread(log_posterior, mesh, z, arrays)
        density, flow_slope = jax.vmap(jax.value_and_grad(log_flow))(z)
        share = jax.nn.softmax(power * (value - density))
        below = jnp.where(jnp.isfinite(value), jnp.max(value) - value, 0.0)
        damped = posterior_slope / (1 + below / (_DEPTH * z.shape[1]))[:, None]
        (gradient,) = back(share[:, None] * (flow_slope - damped))
        updates, moments = optimiser.update(gradient, state.optimiser, state.weights)
        weights = optax.apply_updates(state.weights, updates)
        average = _KEPT * state.average + (1 - _KEPT) * weights
        return _Training(weights, average, moments), None

    training, _ = jax.lax.scan(step, training, jax.random.split(key, _STEPS))
    return training
