"""Flows: there and back, the right Jacobian, and posteriors that are straight in their coordinates after training."""

from __future__ import annotations

import dataclasses

import analytic
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm

from galfit_sr.inference import variational
from galfit_sr.inference.flow import Flow, make_flow, straight_couplings, to_latent, to_straight
from galfit_sr.inference.importance import weigh
from galfit_sr.inference.maximum import Mode
from galfit_sr.inference.mixture import Mixture, laplace_mixture, mode_weights
from galfit_sr.inference.perceptron import Perceptron
from galfit_sr.inference.problem import Problem, log_standard_normal
from galfit_sr.inference.proposal import batch_log_ratio, from_cube, log_density, make_proposal
from galfit_sr.inference.variational import bend

NDIM = 6
DTYPE = jnp.dtype(np.float64)


def bent_flow(seed: int) -> Flow:
    """A flow with random weights in every layer."""
    rng = np.random.default_rng(seed)
    couplings = Perceptron(*(0.15 * rng.standard_normal(a.shape) for a in straight_couplings(NDIM)))
    factor = rng.standard_normal((NDIM, NDIM))
    return make_flow(rng.standard_normal(NDIM), 0.01 * factor @ factor.T, couplings, DTYPE)


def test_there_and_back():
    flow = bent_flow(1)
    x = jnp.asarray(np.random.default_rng(2).standard_normal((50, NDIM)))
    z, log_jacobian = jax.vmap(to_latent, (None, 0))(flow, x)
    back, same_jacobian = jax.vmap(to_straight, (None, 0))(flow, z)
    np.testing.assert_allclose(back, x, atol=1e-8)
    np.testing.assert_allclose(same_jacobian, log_jacobian, atol=1e-8)
    assert np.ptp(log_jacobian) > 0.1, "the couplings must stretch for this to say anything"


def test_jacobian():
    flow = bent_flow(3)
    for x in np.random.default_rng(4).standard_normal((5, NDIM)):
        matrix = jax.jacfwd(lambda x: to_latent(flow, x)[0])(jnp.asarray(x))
        expected = np.linalg.slogdet(np.asarray(matrix)).logabsdet
        assert float(to_latent(flow, jnp.asarray(x))[1]) == pytest.approx(expected, abs=1e-9)


def test_every_coordinate_can_be_bent_by_every_other():
    """Whatever the number of dimensions, the layers together let all of them depend on each other."""
    for ndim in (2, 3, 18):
        rng = np.random.default_rng(5)
        couplings = Perceptron(*(rng.standard_normal(a.shape) for a in straight_couplings(ndim)))
        flow = make_flow(np.zeros(ndim), np.eye(ndim), couplings, DTYPE)
        matrix = jax.jacfwd(lambda x, flow=flow: to_latent(flow, x)[0])(jnp.asarray(0.1 * rng.standard_normal(ndim)))
        assert np.all(np.asarray(matrix) != 0)


def test_without_couplings_it_is_the_gaussian():
    rng = np.random.default_rng(6)
    factor = rng.standard_normal((NDIM, NDIM))
    covariance = 0.01 * factor @ factor.T
    flow = make_flow(np.ones(NDIM), covariance, straight_couplings(NDIM), DTYPE)
    np.testing.assert_allclose(flow.basis @ flow.basis.T, covariance, atol=1e-12)
    assert np.all(np.diff(np.linalg.norm(flow.basis, axis=0)) <= 0), "the widest first"


@dataclasses.dataclass(frozen=True)
class Banana:
    """A likelihood that pins the second coordinate to 0.4 z1^2 - 0.4 within 0.05, and leaves the first to the prior."""

    ndim: int = 2

    def latent_log_likelihood(self, z: jax.Array, arrays: analytic.NoArrays) -> jax.Array:
        off = (z[1] - (0.4 * z[0] ** 2 - 0.4)) / 0.05
        return -0.5 * off**2 - jnp.log(0.05 * jnp.sqrt(2 * jnp.pi))

    def residuals(self, z: jax.Array, arrays: analytic.NoArrays) -> jax.Array:
        return jnp.append(z, (z[1] - (0.4 * z[0] ** 2 - 0.4)) / 0.05)


BANANA = Problem(Banana(), analytic.NoArrays(jnp.zeros(2, jnp.float64)), 0.0, None)


def banana_evidence() -> float:
    first = np.linspace(-6, 6, 20001)
    pinned = 0.4 * first**2 - 0.4
    density = norm.pdf(first) * norm.pdf(pinned, scale=np.hypot(1, 0.05))
    return float(np.log(np.trapezoid(density, first)))


MODE = Mode(np.array([0.0, -0.4]), np.diag([1.0, 2.5e-3]), 0.0)
"""Laplace's approximation at the maximum."""


@pytest.fixture(scope="module")
def bent() -> Mixture:
    return bend(BANANA, (MODE,), seed=1).mixture


def log_weights_of(mixture: Mixture, problem: Problem = BANANA, draws: int = 4000, component: int = 0) -> np.ndarray:
    """Log importance weights of draws from a component, in its own width."""
    x = jnp.asarray(np.random.default_rng(7).standard_normal((draws, problem.target.ndim)))
    z, log_jacobian = jax.vmap(to_latent, (None, 0))(mixture.flows(DTYPE)[component], x)
    log_posterior = jax.vmap(problem.target.latent_log_likelihood, (0, None))(z, problem.arrays)
    return np.asarray(log_posterior + log_standard_normal(z) - log_standard_normal(x) + log_jacobian)


def efficiency(log_weights: np.ndarray) -> float:
    weights = np.exp(log_weights - log_weights.max())
    return float(weights.sum() ** 2 / np.sum(weights**2) / len(weights))


def test_a_bend_of_many_widths_is_learnt(bent):
    """The arms leave the tangent at the maximum by many of their widths."""
    log_weights = log_weights_of(bent)
    reached = efficiency(log_weights)
    assert reached > 3 * efficiency(log_weights_of(laplace_mixture((MODE,))))
    log_evidence = np.logaddexp.reduce(log_weights) - np.log(len(log_weights))
    error = np.sqrt((1 / reached - 1) / len(log_weights))
    assert error < 0.05
    assert abs(log_evidence - banana_evidence()) < 4 * error


@dataclasses.dataclass(frozen=True)
class Step:
    """A likelihood that pins the second coordinate to tanh(2 z1) within 0.1: a step, which no quadratic follows."""

    ndim: int = 2

    def latent_log_likelihood(self, z: jax.Array, arrays: analytic.NoArrays) -> jax.Array:
        off = (z[1] - jnp.tanh(2 * z[0])) / 0.1
        return -0.5 * off**2 - jnp.log(0.1 * jnp.sqrt(2 * jnp.pi))

    def residuals(self, z: jax.Array, arrays: analytic.NoArrays) -> jax.Array:
        return jnp.append(z, (z[1] - jnp.tanh(2 * z[0])) / 0.1)


def test_what_an_expansion_does_not_hold_is_learnt_from_the_posterior(monkeypatch):
    """By expansions alone, flows of this posterior are 0.07 to 0.32 efficient, by its own gradients 0.53 to 0.87."""
    step = Problem(Step(), analytic.NoArrays(jnp.zeros(2, jnp.float64)), 0.0, None)
    slopes = np.array([[1, 0], [0, 1], [-20, 10]])
    mode = Mode(np.zeros(2), np.linalg.inv(slopes.T @ slopes), 0.0)

    def log_weights() -> np.ndarray:
        return log_weights_of(bend(step, (mode,), seed=1).mixture, step)

    exactly = log_weights()
    monkeypatch.setattr(variational, "_EXACTLY_EFFICIENT", 0.0)
    expanded = log_weights()
    # Training ends as soon as 1024 draws say that it is half efficient.
    assert efficiency(exactly) > 0.45
    assert efficiency(exactly) > 1.4 * efficiency(expanded)
    # Renyi's bound of order one half is below the evidence, and nearer for the better flow.
    first = np.linspace(-6, 6, 20001)
    density = norm.pdf(first) * norm.pdf(np.tanh(2 * first), scale=np.hypot(1, 0.1))
    log_evidence = np.log(np.trapezoid(density, first))
    poor, good = (2 * (np.logaddexp.reduce(w / 2) - np.log(w.size)) - log_evidence for w in (expanded, exactly))
    assert poor < good < 0.05
    assert good > -0.5


@pytest.mark.xfail(strict=True, reason="flows learn from quadratic residuals, which make arms too short: k-hat 0.57")
def test_tails_are_filled():
    """After the first round four fifths of the draws count already, but k-hat is 0.64: its tails are too thin."""
    known = analytic.student_arms(4)
    mixture = bend(known.problem, known.modes, seed=3).mixture
    weighed = weigh(log_weights_of(mixture, known.problem, 20_000))
    # The shape of a tail that is fitted to 3 sqrt(20,000) weights is known to 0.07.
    assert weighed.khat < 0.5
    assert weighed.effective > 0.5 * 20_000


def test_the_proposal_covers_long_arms():
    """The density that a run starts from covers the arms that its flow makes too short."""
    known = analytic.student_arms(4)
    mixture = bend(known.problem, known.modes, seed=3).mixture
    proposal = make_proposal(4, mixture, DTYPE)
    z = jnp.asarray(from_cube(proposal, np.random.default_rng(7).random((20_000, 5))))
    log_likelihood = jax.vmap(known.problem.target.latent_log_likelihood, (0, None))(z, known.problem.arrays)
    weighed = weigh(np.asarray(log_likelihood - batch_log_ratio(proposal, z)))
    assert weighed.khat < 0.5
    assert weighed.effective > 0.3 * 20_000
    error = np.sqrt((20_000 / weighed.effective - 1) / 20_000)
    assert abs(weighed.log_mean + analytic.OFFSET - known.log_evidence) < 4 * error


@pytest.mark.parametrize(("efficiency", "given_up"), [(0.5, True), (0.005, False)])
def test_an_inefficient_flow_is_not_hopeless_yet(monkeypatch, efficiency, given_up):
    """A first round that puts a mode eight nats below the best ends it only if that can be believed."""
    real, rounds = variational.weigh, []

    def weighed(log_ratios):
        rounds.append(real(log_ratios))
        first = len(rounds) == 1
        return rounds[-1]._replace(log_mean=-8.0, effective=efficiency * len(log_ratios)) if first else rounds[-1]

    monkeypatch.setattr(variational, "weigh", weighed)
    found = bend(BANANA, (MODE,), seed=1, best=0.0)
    assert (len(rounds) == 1) is given_up
    assert (found.log_evidence == -8.0) is given_up


@pytest.mark.parametrize(("seed", "apart"), [(2, False), (5, True)])
def test_weights_of_the_modes_are_the_roots_of_their_evidences(seed, apart):
    """Of what their flows cover: with the first seed, that of the first mode may come to cover both."""
    known = analytic.two_modes(4)
    mixture = bend(known.problem, known.modes, seed=seed).mixture
    covered = [weigh(log_weights_of(mixture, known.problem, 20_000, component)).log_mean for component in (0, 1)]
    np.testing.assert_allclose(mixture.weights, mode_weights(np.array(covered)), atol=0.03)
    if apart:
        np.testing.assert_allclose(mixture.weights, laplace_mixture(known.modes).weights, atol=0.03)


def test_the_proposal_is_normalised(bent):
    """The mean of pi/q over draws of q is one: what is drawn and what is evaluated are the same density."""
    proposal = make_proposal(2, bent, DTYPE)
    z = from_cube(proposal, np.random.default_rng(8).random((20_000, 3)))
    ratios = np.exp(-np.asarray(batch_log_ratio(proposal, jnp.asarray(z))))
    assert abs(ratios.mean() - 1) < 4 * ratios.std() / np.sqrt(len(ratios))


def test_the_proposal_reaches_far_along_one_coordinate():
    """Where a flow may have missed the tail of a posterior: five standard deviations out a Gaussian falls by 12.5."""
    known = analytic.correlated_gaussian()
    (mode,) = known.modes
    proposal = make_proposal(18, laplace_mixture(known.modes), jnp.float64)
    values, vectors = np.linalg.eigh(mode.covariance)
    aside = mode.z + 5 * np.sqrt(values[7]) * vectors[:, 7]
    centre, there = (float(log_density(proposal, jnp.asarray(z))) for z in (mode.z, aside))
    assert 0 < centre - there < 8
