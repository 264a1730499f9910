"""The first answer bent into the shape of the posterior, by variational inference.

A flow is trained (Rezende & Mohamed 2015, arXiv:1505.05770; as a map for samplers, Hoffman et al. 2019,
arXiv:1903.03704) to minimise first the Kullback-Leibler divergence from the posterior to itself, which finds the
posterior and misses its tails, then Renyi's divergence of order one half (Li & Turner 2016, arXiv:1602.02311), under
which draws count by the root of their importance weight and tails are filled. The noise of the gradients vanishes as
the flow comes close (Roeder, Wu & Duvenaud 2017, arXiv:1703.09194); its weights are averaged over the steps. What it is
trained on is an `expansion` of the posterior, made anew in every round where the flow then is: the model itself is
needed at some hundred places a round, and without gradients. It need not succeed: it only shapes the density from which
a sampler starts.
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

from ..progress import Progress
from .expansion import Expansion, expanded, log_posterior
from .flow import Flow, make_flow, to_latent, to_straight, untrained_couplings
from .importance import weigh
from .maximum import Mode
from .mixture import MOST_COMPONENTS, Mixture, laplace_mixture, mode_weights
from .perceptron import Perceptron
from .problem import CHUNK, Problem, log_likelihoods, log_standard_normal

_BATCH, _STEPS = 32, 500
"""Draws of a step, steps of a round."""
_ROUNDS = 8
"""The first finds the posterior, the others fill the tails."""
_PLACES, _WIDER = 512, 1.5
"""Where a posterior is expanded: draws from the flow, half of them so much wider."""
_FILLING = 0.5
"""Power of a draw's importance weight by which it counts when tails are filled."""
_PATIENCE, _MORE = 2, 1.25
"""Rounds that may pass before the efficiency has risen by this factor."""
_RATE, _KEPT, _MOST_NORM = 2e-3, 0.99, 10.0
_DEPTH = 5.0
"""Nats per dimension below the best draw of a step at which the pull of the posterior on a draw is halved: at first the
arms of a bent posterior lie thousands of nats up, and their draws would drag everything to its middle."""
HOPELESS = 7.0
"""Nats by which a mode's evidence may lie below the best before no more time is spent on it."""
_EFFICIENT = 0.7
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
        calls: likelihoods and residuals so far.
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
        calls: likelihoods and residuals that it took.
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
    flow = make_flow(mode.z, mode.covariance, untrained_couplings(mode.z.size, weights_seed), dtype)
    # One vector for the optimiser: leaf by leaf it takes three times as long to compile.
    weights, couplings_of = ravel_pytree(flow.couplings)
    training = _Training(weights, weights, _optimiser().init(weights))
    averaged = flow
    key, draws_key = jax.random.split(jax.random.key(draws_seed))
    words = name
    rounds: list[_BentMode] = []
    for number in range(_ROUNDS):
        if progress is not None:
            progress("bending", None, words)
        places_key, round_key = jax.random.split(jax.random.fold_in(key, number))
        expansion = expanded(problem, flow, np.asarray(_places(averaged, places_key), np.float64))
        power = jnp.asarray(_FILLING if number else 0.0, dtype)
        training = _train(flow, training, power, round_key, expansion)
        averaged = flow._replace(couplings=couplings_of(training.average))
        weighed = weigh(_log_ratios(problem, averaged, draws_key))
        couplings = Perceptron(*(np.asarray(a, np.float32) for a in averaged.couplings))
        calls = (number + 1) * (_PLACES + 1 + CHUNK)
        rounds.append(_BentMode(couplings, weighed.effective / CHUNK, weighed.log_mean, calls))
        words = f"{name}, {rounds[-1].efficiency:.0%} efficient"
        filled = rounds[1:]
        enough = filled and (filled[-1].efficiency > _EFFICIENT or _stalled(filled))
        # Importance sampling takes an evidence for too small by up to one over its efficiency: 5 nats have been seen.
        if enough or rounds[-1].log_evidence - np.log(rounds[-1].efficiency) < best - HOPELESS:
            break
    chosen = max(rounds[1:] or rounds, key=lambda one: one.efficiency)
    return dataclasses.replace(chosen, calls=rounds[-1].calls)


@jax.jit
def _places(flow: Flow, key: jax.Array) -> jax.Array:
    """Latent draws (_PLACES, ndim) from a flow, every second one wider."""
    x = jax.random.normal(key, (_PLACES, flow.centre.size), flow.centre.dtype)
    return jax.vmap(lambda row: to_latent(flow, row)[0])(x.at[::2].multiply(_WIDER))


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


@jax.jit
def _train(flow: Flow, training: _Training, power: jax.Array, key: jax.Array, expansion: Expansion) -> _Training:
    """A round of steps; of the flow all but the couplings stays as it is."""
    optimiser = _optimiser()
    couplings_of = ravel_pytree(flow.couplings)[1]

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
        value, posterior_slope = jax.vmap(jax.value_and_grad(partial(log_posterior, expansion)))(z)
        density, flow_slope = jax.vmap(jax.value_and_grad(log_flow))(z)
        share = jax.nn.softmax(power * (value - density))
        damped = posterior_slope / (1 + (jnp.max(value) - value) / (_DEPTH * z.shape[1]))[:, None]
        (gradient,) = back(share[:, None] * (flow_slope - damped))
        updates, moments = optimiser.update(gradient, state.optimiser, state.weights)
        weights = optax.apply_updates(state.weights, updates)
        average = _KEPT * state.average + (1 - _KEPT) * weights
        return _Training(weights, average, moments), None

    training, _ = jax.lax.scan(step, training, jax.random.split(key, _STEPS))
    return training
