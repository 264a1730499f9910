"""Evidence and posterior of 18-dimensional problems whose answers are known."""

from __future__ import annotations

import dataclasses
import functools

import analytic
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from same_run import assert_same
from scipy.stats import chi2

from galfit_sr.inference.mixture import laplace_mixture
from galfit_sr.inference.nested import Nested, folds_left, run_nested
from galfit_sr.inference.problem import CHUNK
from galfit_sr.inference.sampled import Sampled

SEEDS = range(5)
FEWER_SEEDS = range(3)
"""For the posterior with long arms, whose runs are the longest."""
FROM_PRIOR = Nested(nlive=100, walks=120, start="prior")
REPARTITIONED = Nested(nlive=100, walks=60)


@functools.cache
def known(name: str) -> analytic.Known:
    return getattr(analytic, name)()


@functools.cache
def run(name: str, modes: str, settings: Nested, seed: int) -> Sampled:
    """A run, once for all tests that look at it."""
    problem = known(name)
    return run_nested(problem.problem, MIXTURES[modes](problem.modes), settings, seed)


def off_centre(modes):
    """What a search that stopped early would give: a standard deviation away, and half as wide."""
    rng = np.random.default_rng(7)
    return tuple(
        dataclasses.replace(mode, z=mode.z + np.linalg.cholesky(mode.covariance) @ rng.choice([-1.0, 1.0], mode.z.size))
        for mode in analytic.narrowed(modes, 2.0)
    )


MIXTURES = {
    "prior": lambda modes: None,
    "exact": laplace_mixture,
    "too narrow by 2": lambda modes: laplace_mixture(analytic.narrowed(modes, 2.0)),
    "off centre": lambda modes: laplace_mixture(off_centre(modes)),
    "first": lambda modes: laplace_mixture(modes[:1]),
}
STARTS = {
    "prior": FROM_PRIOR,
    "exact": REPARTITIONED,
    "too narrow by 2": REPARTITIONED,
    "off centre": REPARTITIONED,
}


def runs_of(name: str, modes: str, settings: Nested) -> list[Sampled]:
    """A run for every seed."""
    return [run(name, modes, settings, seed) for seed in (FEWER_SEEDS if name == "student_arms" else SEEDS)]


def errors(name: str, modes: str, settings: Nested) -> tuple[np.ndarray, np.ndarray]:
    """Log evidence less the truth, and reported errors, of every run."""
    runs = runs_of(name, modes, settings)
    assert all(r.converged for r in runs)
    off = np.array([r.log_evidence for r in runs]) - known(name).log_evidence
    return off, np.array([r.log_evidence_error for r in runs])


def assert_agree(off: np.ndarray, error: np.ndarray) -> None:
    """Within three errors on average, where a bias would show, and within four one by one.

    Seventy runs are held against the truth here: were all unbiased with the right errors, one would still be off by
    more than three of them every fifth time, by more than four once in two hundred.
    """
    assert np.all(np.abs(off) < 4 * error)
    assert abs(off.mean()) < 3 * np.sqrt(np.sum(error**2)) / off.size


@pytest.mark.parametrize("modes", STARTS)
@pytest.mark.parametrize("name", ["correlated_gaussian", "two_modes", "student_arms"])
def test_evidence(name, modes):
    off, error = errors(name, modes, STARTS[modes])
    assert_agree(off, error)
    # Errors are reported, not just large: from the prior sqrt(information / live points), less when re-partitioned.
    least, most = (0.05, 1.0) if modes == "prior" else (0.005, 0.3)
    assert np.all((error > least) & (error < most))


@pytest.mark.parametrize("name", ["correlated_gaussian", "two_modes"])
def test_both_starts_agree(name):
    prior, prior_error = errors(name, "prior", FROM_PRIOR)
    repartitioned, error = errors(name, "exact", REPARTITIONED)
    assert_agree(prior - repartitioned, np.hypot(prior_error, error))
    assert np.all(error < 0.5 * prior_error)


@pytest.mark.parametrize("modes", ["prior", "off centre"])
def test_walks_twice_as_long_agree(modes):
    settings = STARTS[modes]
    longer = dataclasses.replace(settings, walks=2 * settings.walks)
    (off, error), (off_longer, error_longer) = (errors("correlated_gaussian", modes, s) for s in (settings, longer))
    assert_agree(off_longer - off, np.hypot(error, error_longer))


def test_walks_that_are_too_short_are_noticed_by_doubling():
    """The check above has power: with six steps a walk it fails, and so does the check against the truth."""
    runs = [errors("correlated_gaussian", "prior", dataclasses.replace(FROM_PRIOR, walks=n)) for n in (6, 12)]
    (off, error), (off_longer, error_longer) = runs
    with pytest.raises(AssertionError):
        assert_agree(off_longer - off, np.hypot(error, error_longer))
    with pytest.raises(AssertionError):
        assert_agree(off, error)


def assert_moments(
    draws: np.ndarray, weights: np.ndarray, mean: np.ndarray, covariance: np.ndarray, tails: bool
) -> None:
    """Mean and covariance within the Monte Carlo error of weighted draws (n, 18).

    In coordinates in which the posterior has mean 0 and covariance 1, n times the squared deviations of the mean add up
    to a chi^2 of 18 degrees of freedom for n independent draws, and likewise those of the covariance of a Gaussian,
    with variance 1/n off and 2/n on the diagonal. Draws of a nested run share ancestors and volumes: twice that is
    allowed for.
    """
    weights = weights / weights.sum()
    white = np.linalg.solve(np.linalg.cholesky(covariance), (draws - mean).T)
    size, off = 1 / np.sum(weights**2), white @ weights
    assert size * off @ off < 2 * chi2(18).ppf(1 - 1e-3)
    if not tails:
        spread = (white * weights) @ white.T - np.eye(18)
        assert 0.5 * size * np.sum(spread**2) < 2 * chi2(18 * 19 / 2).ppf(1 - 1e-3)


def pooled(name: str, modes: str, settings: Nested) -> tuple[np.ndarray, np.ndarray]:
    """Positions and weights of all runs."""
    runs = runs_of(name, modes, settings)
    return np.concatenate([r.z for r in runs]), np.concatenate([np.exp(r.log_weights) for r in runs])


@pytest.mark.parametrize("modes", ["prior", "exact", "off centre"])
def test_posterior_of_a_gaussian(modes):
    truth = known("correlated_gaussian")
    assert_moments(*pooled("correlated_gaussian", modes, STARTS[modes]), truth.mean, truth.covariance, tails=False)


@pytest.mark.parametrize("modes", ["prior", "exact", "off centre"])
def test_posterior_mean_with_long_arms(modes):
    truth = known("student_arms")
    # Walks of 60 steps do not reach far enough into arms that the proposal does not know.
    settings = STARTS[modes] if modes != "off centre" else dataclasses.replace(REPARTITIONED, walks=240)
    assert_moments(*pooled("student_arms", modes, settings), truth.mean, truth.covariance, tails=True)


@pytest.mark.parametrize("modes", ["prior", "exact", "off centre"])
def test_posterior_of_two_modes(modes):
    """Each mode has the right moments and, within the errors of the two evidences and of the samples, the right share.

    A mode that holds a share s of the live points has the error of the whole run divided by the root of s.
    """
    truth = known("two_modes")
    # From such a start, samples of 60 steps are worth a third of their number, not half (60 seeds).
    settings = STARTS[modes] if modes != "off centre" else dataclasses.replace(REPARTITIONED, walks=240)
    draws, weights = pooled("two_modes", modes, settings)
    first, second = truth.modes
    near = (draws - 0.5 * (first.z + second.z)) @ (first.z - second.z) > 0
    for mode, chosen in ((first, near), (second, ~near)):
        assert_moments(draws[chosen], weights[chosen], mode.z, mode.covariance, tails=False)
    share = weights[near].sum() / weights.sum()
    _, error = errors("two_modes", modes, settings)
    size = weights.sum() ** 2 / np.sum(weights**2)
    allowed = 3 * np.sqrt((np.mean(error**2) / error.size + 1 / size) * (1 / 0.75 + 1 / 0.25))
    assert abs(np.log(share / (1 - share)) - np.log(3.0)) < allowed


@pytest.mark.parametrize("modes", ["prior", "exact"])
def test_information(modes):
    truth = known("correlated_gaussian").information
    for seed in SEEDS:
        found = run("correlated_gaussian", modes, STARTS[modes], seed)
        # Information and evidence inherit the same uncertainty of the volumes; samples add theirs of the likelihood.
        weights = np.exp(found.log_weights)
        mean = weights @ found.log_likelihood
        deviation = np.sqrt(weights @ (found.log_likelihood - mean) ** 2)
        own = deviation / np.sqrt(found.effective_sample_size)
        assert abs(found.information - truth) < 3 * np.hypot(found.log_evidence_error, own)


def test_same_seed_repeats_a_run_and_another_does_not():
    problem = known("correlated_gaussian")
    again = run_nested(problem.problem, laplace_mixture(problem.modes), REPARTITIONED, seed=0)
    first, other = (run("correlated_gaussian", "exact", REPARTITIONED, seed) for seed in (0, 1))
    assert_same(again, first)
    assert not np.array_equal(first.z[:50], other.z[:50])


@pytest.mark.parametrize(("modes", "seeds"), [("prior", SEEDS[:2]), ("off centre", SEEDS)])
def test_single_precision(modes, seeds):
    single = analytic.correlated_gaussian(dtype=jnp.float32)
    runs = [run_nested(single.problem, MIXTURES[modes](single.modes), STARTS[modes], seed) for seed in seeds]
    off = np.array([r.log_evidence for r in runs]) - single.log_evidence
    assert_agree(off, np.array([r.log_evidence_error for r in runs]))


def test_dynamic_run_agrees_and_gives_more_effective_samples_per_call():
    dynamic = dataclasses.replace(FROM_PRIOR, dynamic=True, effective_samples=2000)
    runs = [run("correlated_gaussian", "prior", dynamic, seed) for seed in SEEDS[:2]]
    assert all(r.converged and 1 / np.sum(np.exp(2 * r.log_weights)) >= 2000 for r in runs)
    off = np.array([r.log_evidence for r in runs]) - known("correlated_gaussian").log_evidence
    assert_agree(off, np.array([r.log_evidence_error for r in runs]))

    def per_call(r: Sampled) -> float:
        return 1 / np.sum(np.exp(2 * r.log_weights)) / r.calls

    static = [run("correlated_gaussian", "prior", FROM_PRIOR, seed) for seed in SEEDS]
    assert np.mean([per_call(r) for r in runs]) > 1.3 * np.mean([per_call(r) for r in static])


@pytest.mark.parametrize("away", [6.0, 20.0])
def test_points_where_the_prior_rounds_to_one(away):
    """Beyond 8.3 standard deviations, where the tails of a proposal may reach; here most of it lies there."""
    truth = analytic.correlated_gaussian(4)
    (mode,) = truth.modes
    beyond = laplace_mixture((dataclasses.replace(mode, z=mode.z + away),))
    found = run_nested(truth.problem, beyond, REPARTITIONED, seed=1)
    assert found.converged
    assert_agree(np.array([found.log_evidence - truth.log_evidence]), np.array([found.log_evidence_error]))


@pytest.mark.xfail(strict=True, reason="a mode that the first answer did not find is left to the share of the prior")
def test_mode_that_was_not_found_is_found_by_the_sampler():
    off, error = errors("two_modes", "first", REPARTITIONED)
    assert abs(off.mean()) < 3 * np.sqrt(np.sum(error**2)) / off.size


def test_every_evaluation_is_counted():
    truth = analytic.correlated_gaussian(4)
    problem = dataclasses.replace(truth.problem, target=analytic.Counting(4))
    for settings in (Nested(nlive=50, walks=20, walkers=8), Nested(nlive=50, walks=20, walkers=8, start="prior")):
        analytic.EVALUATED.clear()
        found = run_nested(problem, laplace_mixture(truth.modes), settings, seed=1)
        jax.effects_barrier()
        # Not counted: the padding of the first live points to a chunk, and what is left in the queue at the end.
        uncounted = len(analytic.EVALUATED) - found.calls
        assert 0 <= uncounted <= CHUNK + settings.walkers * (settings.walks + 1)


def test_second_run_compiles_nothing():
    problem = known("correlated_gaussian")
    run_nested(problem.problem, laplace_mixture(problem.modes), REPARTITIONED, seed=0)
    compiled = []
    jax.monitoring.register_event_duration_secs_listener(
        lambda event, seconds, **_: compiled.append(event) if event.endswith("backend_compile_duration") else None
    )
    run_nested(problem.problem, laplace_mixture(problem.modes), REPARTITIONED, seed=11)
    assert not compiled


@pytest.mark.parametrize("radius", [20.0, 100.0])
def test_what_is_left_to_do_of_a_gaussian(radius):
    """The volume of a sphere of so many sigma, over that in which a tenth of the evidence is left."""
    exact = 18 * np.log(radius / chi2.ppf(0.1, 18) ** 0.5)
    assert folds_left(radius**2 / 2, 18, 0.1) == pytest.approx(exact, rel=0.25)
    assert folds_left(0.1, 18, 0.1) == 0
    assert folds_left(np.nan, 18, 0.1) == np.inf
