"""The first answer bent into the shape of the posterior, by variational inference.

A flow is trained (Rezende & Mohamed 2015, arXiv:1505.05770; as a map for samplers, Hoffman et al. 2019,
arXiv:1903.03704) to minimise first the Kullback-Leibler divergence from the posterior to itself, which finds the
posterior and misses its tails, then Renyi's divergence of order one half (Li & Turner 2016, arXiv:1602.02311), under
which draws count by the root of their importance weight and tails are filled. The noise of the gradients vanishes as
the flow comes close (Roeder, Wu & Duvenaud 2017, arXiv:1703.09194); its weights are averaged over the steps. At first
it is trained on an `expansion` of the posterior, made anew in every round where the flow then is: the model itself is
needed at some hundred places a round, and without gradients. Where that does not get it far, because the posterior is
wider than an expansion holds, it is trained on the posterior itself. It need not succeed: it only shapes the density
from which a sampler starts.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree
from jax.sharding import Mesh

from ..devices import devices_for, replicated, spread
from ..progress import Progress
from .expansion import Expansion, expanded, log_posterior
from .flow import Flow, make_flow, to_latent, to_straight, untrained_couplings
from .importance import weigh
from .maximum import Mode
from .mixture import MOST_COMPONENTS, Mixture, laplace_mixture, mode_weights
from .perceptron import Perceptron
from .problem import CHUNK, Arrays, Problem, Target, log_likelihoods, log_standard_normal

_BATCH = 32
"""Draws of a step."""
_STEPS, _EXACT_STEPS = 500, 250
"""Of a round, by an expansion and by the posterior itself."""
_ROUNDS = 16
"""At most; the first finds the posterior, the others fill the tails."""
_PLACES, _WIDER = 512, 1.5
"""Where a posterior is expanded: draws from the flow, half of them so much wider."""
_FILLING = 0.5
"""Power of a draw's importance weight by which it counts when tails are filled."""
_PATIENCE, _MORE = 2, 0.1
"""Rounds that may pass before the bound has risen by so many nats."""
_RATE, _KEPT, _MOST_NORM = 2e-3, 0.99, 10.0
_DEPTH = 5.0
"""Nats per dimension below the best draw of a step at which the pull of the posterior on a draw is halved: at first the
arms of a bent posterior lie thousands of nats up, and their draws would drag everything to its middle."""
HOPELESS = 7.0
"""Nats by which a mode's evidence may lie below the best before no more time is spent on it."""
_EFFICIENT, _EXACTLY_EFFICIENT = 0.7, 0.5
"""Efficiency of importance sampling from the flow at which it is good enough, by rounds that are cheap and dear."""


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
        bound: of the log evidence from below, Renyi's of order one half (Li & Turner 2016, eq. 9), the closer to it the
            better the flow. The efficiency says the same, but of a poor flow a few draws tell it, by chance.
        calls: likelihoods, residuals and gradients so far.
    """

    couplings: Perceptron
    efficiency: float
    log_evidence: float
    bound: float
    calls: int


class Bent(NamedTuple):
    """Gaussians bent into the shape of a posterior.

    Attributes:
        mixture: of them.
        log_evidence: of the posterior, by importance sampling from each, less the offset of the likelihood.
        calls: likelihoods, residuals and gradients that it took.
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
    words, exact, calls = name, False, 0
    rounds: list[_BentMode] = []
    since = 1  # the first round that filled tails, by what the flow is now trained on
    for number in range(_ROUNDS):
        if progress is not None:
            progress("bending", None, words)
        power = jnp.asarray(_FILLING if number else 0.0, dtype)
        teach = _taught_exactly if exact else _taught
        training, looks = teach(problem, flow, averaged, training, power, jax.random.fold_in(key, number))
        averaged = flow._replace(couplings=couplings_of(training.average))
        calls += looks + CHUNK
        rounds.append(_weighed(problem, averaged, draws_key, calls))
        now = rounds[-1]
        words = f"{name}, {now.efficiency:.0%} efficient"
        # Importance sampling takes an evidence for too small by up to one over its efficiency: 5 nats have been seen.
        if now.log_evidence - np.log(now.efficiency) < best - HOPELESS:
            break
        if number and now.efficiency > (_EXACTLY_EFFICIENT if exact else _EFFICIENT):
            break
        if _stalled(rounds[since:]):
            if exact or now.efficiency > _EXACTLY_EFFICIENT:
                break
            exact, since = True, len(rounds)
    chosen = max(rounds[1:] or rounds, key=lambda one: one.bound)
    return dataclasses.replace(chosen, calls=calls)


def _taught(
    problem: Problem, flow: Flow, averaged: Flow, training: _Training, power: jax.Array, key: jax.Array
) -> tuple[_Training, int]:
    """A round of steps on an expansion of the posterior where the averaged flow is, and the residuals that it took."""
    places_key, key = jax.random.split(key)
    expansion = expanded(problem, flow, np.asarray(_places(averaged, places_key), np.float64))
    return _train(_look_at_expansion, _STEPS, flow, training, power, key, expansion), _PLACES + 1


def _taught_exactly(
    problem: Problem, flow: Flow, averaged: Flow, training: _Training, power: jax.Array, key: jax.Array
) -> tuple[_Training, int]:
    """A round of steps on the posterior itself, spread over all devices, and the gradients that it took."""
    mesh = devices_for(_BATCH)
    state = replicated((flow, training, power, key, problem.arrays), mesh)
    taught = _train(_Look(problem.target, mesh), _EXACT_STEPS, *state)
    return jax.device_put(taught, training.weights.sharding), _EXACT_STEPS * _BATCH


def _weighed(problem: Problem, flow: Flow, key: jax.Array, calls: int) -> _BentMode:
    """What importance sampling from a flow tells of it."""
    log_ratios = _log_ratios(problem, flow, key)
    weighed = weigh(log_ratios)
    bound = 2 * float(np.logaddexp.reduce(log_ratios / 2) - np.log(CHUNK))
    couplings = Perceptron(*(np.asarray(a, np.float32) for a in flow.couplings))
    return _BentMode(couplings, weighed.effective / CHUNK, weighed.log_mean, bound, calls)


@jax.jit
def _places(flow: Flow, key: jax.Array) -> jax.Array:
    """Latent draws (_PLACES, ndim) from a flow, every second one wider."""
    x = jax.random.normal(key, (_PLACES, flow.centre.size), flow.centre.dtype)
    return jax.vmap(lambda row: to_latent(flow, row)[0])(x.at[::2].multiply(_WIDER))


def _stalled(rounds: list[_BentMode]) -> bool:
    """Whether the last of rounds that filled tails have brought little."""
    bounds = [one.bound for one in rounds]
    before, last = bounds[:-_PATIENCE], bounds[-_PATIENCE:]
    return bool(before) and max(last) < max(before) + _MORE


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


def _look_at_expansion(z: jax.Array, expansion: Expansion) -> tuple[jax.Array, jax.Array]:
    """Log density and its gradient at latent vectors z (n, ndim): a few products of matrices for all of them."""
    return jax.vmap(jax.value_and_grad(partial(log_posterior, expansion)))(z)


@dataclasses.dataclass(frozen=True)
class _Look:
    """Log posterior and its gradient at latent vectors z (n, ndim). Equal ones share their programs.

    Attributes:
        target: whose posterior.
        mesh: devices over which the vectors are spread.
    """

    target: Target
    mesh: Mesh

    def __call__(self, z: jax.Array, arrays: Arrays) -> tuple[jax.Array, jax.Array]:
        def look(z: jax.Array, arrays: Arrays) -> tuple[jax.Array, jax.Array]:
            value, slope = jax.value_and_grad(
                lambda z: self.target.latent_log_likelihood(z, arrays) + log_standard_normal(z)
            )(z)
            usable = jnp.isfinite(value) & jnp.all(jnp.isfinite(slope))
            return jnp.where(usable, value, -jnp.inf), jnp.where(usable, slope, 0.0)

        return spread(look, self.mesh, z, arrays)


@partial(jax.jit, static_argnums=(0, 1))
def _train(
    look: Callable[[jax.Array, Any], tuple[jax.Array, jax.Array]],
    steps: int,
    flow: Flow,
    training: _Training,
    power: jax.Array,
    key: jax.Array,
    data: Any,
) -> _Training:
    """A round of steps; of the flow all but the couplings stays as it is.

    Args:
        look: the density that is learnt and its gradient, of latent vectors (n, ndim) and data; static.
        steps: of the round, static.
        flow, training: the flow, and its weights so far.
        power: of a draw's importance weight by which it counts.
        key: of the draws.
        data: what the density depends on.
    """
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
        value, posterior_slope = look(z, data)
        density, flow_slope = jax.vmap(jax.value_and_grad(log_flow))(z)
        share = jax.nn.softmax(power * (value - density))
        below = jnp.where(jnp.isfinite(value), jnp.max(value) - value, 0.0)
        damped = posterior_slope / (1 + below / (_DEPTH * z.shape[1]))[:, None]
        (gradient,) = back(share[:, None] * (flow_slope - damped))
        updates, moments = optimiser.update(gradient, state.optimiser, state.weights)
        weights = optax.apply_updates(state.weights, updates)
        average = _KEPT * state.average + (1 - _KEPT) * weights
        return _Training(weights, average, moments), None

    training, _ = jax.lax.scan(step, training, jax.random.split(key, steps))
    return training
