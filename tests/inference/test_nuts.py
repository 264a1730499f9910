"""The No-U-Turn sampler: known posteriors, what it says of itself, limits, going on, and what it refuses."""

from __future__ import annotations

import dataclasses
from functools import cache

import analytic
import jax.numpy as jnp
import numpy as np
import pytest

from galfit_sr.errors import InputError
from galfit_sr.inference import nuts
from galfit_sr.inference.fit import fit
from galfit_sr.inference.mixture import Mixture, laplace_mixture
from galfit_sr.inference.nuts import MOST_RHAT, Nuts, run_nuts
from galfit_sr.inference.results import Posterior
from galfit_sr.inference.sampled import Sampled
from galfit_sr.model.galaxy import GalaxyModel
from galfit_sr.model.grid import Canvas
from galfit_sr.observations.mock import MOCK_TRUTH, make_mock

GAUSSIAN = analytic.correlated_gaussian(18)
SETTINGS = Nuts(warmup=300, effective_samples=1500)
FEWER = dataclasses.replace(SETTINGS, effective_samples=400)
MODEL = GalaxyModel(components=("disc1", "halo"), canvas=Canvas(8, 5.0), fidelity="point")
GALAXY = make_mock(MOCK_TRUTH, model=MODEL, fibres=0, seed=1)


@cache
def run(known=GAUSSIAN, settings: Nuts = SETTINGS, seed: int = 1, **how) -> Sampled:
    return run_nuts(known.problem, laplace_mixture(known.modes), settings, seed, **how)


def test_posterior_of_a_correlated_gaussian():
    found = run()
    assert found.converged
    assert found.diagnostics["rhat"] <= MOST_RHAT
    assert found.diagnostics["divergences"] == 0
    assert found.effective_sample_size >= SETTINGS.effective_samples
    sigma = np.sqrt(np.diag(GAUSSIAN.covariance))
    error = 1 / np.sqrt(found.effective_sample_size)
    # The largest of eighteen departures is below four of its errors but once in a thousand times.
    assert np.max(np.abs(found.z.mean(axis=0) - GAUSSIAN.mean) / sigma) < 4 * error
    white = np.linalg.solve(np.linalg.cholesky(GAUSSIAN.covariance), (found.z - GAUSSIAN.mean).T)
    np.testing.assert_allclose(np.cov(white), np.eye(18), atol=5 * np.sqrt(2) * error)


def test_mean_of_a_posterior_with_long_arms():
    known = analytic.student_arms(18)
    found = run(known)
    assert found.converged
    error = np.sqrt(np.diag(known.covariance) / found.effective_sample_size)
    assert np.max(np.abs(found.z.mean(axis=0) - known.mean) / error) < 4


def test_log_likelihood_and_weights_are_those_of_the_draws():
    found = run()
    z = jnp.asarray(found.z[::500])
    target, arrays = GAUSSIAN.problem.target, GAUSSIAN.problem.arrays
    expected = [float(target.latent_log_likelihood(row, arrays)) + GAUSSIAN.problem.offset for row in z]
    np.testing.assert_allclose(found.log_likelihood[::500], expected, rtol=1e-6)
    assert np.sum(np.exp(found.log_weights)) == pytest.approx(1)
    assert found.log_evidence is None
    assert found.chains == SETTINGS.chains
    assert len(found.z) % found.chains == 0


def test_modes_that_chains_cannot_leave_are_noticed():
    found = run(analytic.two_modes(6), Nuts(chains=8, warmup=100, effective_samples=200, most_draws=200), seed=2)
    assert not found.converged
    assert found.diagnostics["rhat"] > 1.1
    assert found.effective_sample_size < 50


def test_a_start_that_is_far_off_is_left():
    off = Mixture(np.ones(1), GAUSSIAN.mean[None] + 1.0, 0.01 * np.eye(18)[None])
    found = run_nuts(GAUSSIAN.problem, off, SETTINGS, 3)
    assert found.converged
    sigma = np.sqrt(np.diag(GAUSSIAN.covariance))
    error = 1 / np.sqrt(found.effective_sample_size)
    assert np.max(np.abs(found.z.mean(axis=0) - GAUSSIAN.mean) / sigma) < 4 * error


def test_chains_that_begin_anew_compile_nothing():
    programs = nuts._states, nuts._advance
    before = [program._cache_size() for program in programs]
    run(analytic.correlated_gaussian(5), Nuts(chains=2, warmup=200, effective_samples=5, most_draws=50))
    assert [program._cache_size() for program in programs] == [number + 1 for number in before]


def test_a_limit_ends_it_and_it_goes_on_as_if_there_had_been_none(tmp_path):
    checkpoint = tmp_path / "checkpoint"
    mixture = laplace_mixture(GAUSSIAN.modes)
    part = run_nuts(GAUSSIAN.problem, mixture, dataclasses.replace(SETTINGS, max_calls=3000), 1, checkpoint=checkpoint)
    assert not part.converged
    assert 3000 < part.calls < run().calls
    on = run_nuts(GAUSSIAN.problem, mixture, SETTINGS, 1, checkpoint=checkpoint, resume=True)
    np.testing.assert_array_equal(on.z, run().z)
    assert on.diagnostics == run().diagnostics
    assert on.seconds > part.seconds


def test_checkpoints_that_are_not_its_own_are_refused(tmp_path):
    checkpoint = tmp_path / "checkpoint"
    mixture = laplace_mixture(GAUSSIAN.modes)
    short = dataclasses.replace(SETTINGS, max_calls=100)
    run_nuts(GAUSSIAN.problem, mixture, short, 1, checkpoint=checkpoint)
    with pytest.raises(InputError, match="another run"):
        run_nuts(GAUSSIAN.problem, mixture, short, 2, checkpoint=checkpoint, resume=True)
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    with pytest.raises(InputError, match="cannot be read"):
        run_nuts(GAUSSIAN.problem, mixture, short, 1, checkpoint=checkpoint, resume=True)


def test_more_effective_samples_can_be_asked_for_later(tmp_path):
    checkpoint = tmp_path / "checkpoint"
    mixture = laplace_mixture(GAUSSIAN.modes)
    few = run_nuts(GAUSSIAN.problem, mixture, SETTINGS, 1, checkpoint=checkpoint)
    more = dataclasses.replace(SETTINGS, effective_samples=2500)
    on = run_nuts(GAUSSIAN.problem, mixture, more, 1, checkpoint=checkpoint, resume=True)
    assert few.effective_sample_size < 2500 <= on.effective_sample_size


@pytest.fixture(scope="module")
def posterior() -> Posterior:
    return fit(GALAXY, model=MODEL, sampler=FEWER, seed=1)


def test_fit_of_a_galaxy(posterior, tmp_path):
    assert posterior.sampler == "nuts"
    assert posterior.converged
    assert posterior.chains == FEWER.chains
    assert posterior.log_evidence is None
    assert posterior.effective_sample_size == posterior.sampler_settings["effective"] >= FEWER.effective_samples
    path = tmp_path / "posterior.nc"
    posterior.save(path)
    loaded = Posterior.load(path)
    assert loaded.chains == posterior.chains
    assert loaded.effective_sample_size == posterior.effective_sample_size
    np.testing.assert_array_equal(loaded.samples, posterior.samples)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"chains": 1}, "chains is 1; a whole number of at least 2"),
        ({"warmup": 10}, "warmup is 10; a whole number of at least 100"),
        ({"warmup": 250}, "warmup is 250; a multiple of 100"),
        ({"most_draws": 1.5}, "most_draws is 1.5"),
        ({"target_acceptance": 1.0}, "target_acceptance is 1.0; a number between 0 and 1"),
        ({"max_seconds": 0}, "max_seconds is 0; a positive number"),
    ],
)
def test_settings_that_make_no_sense(settings, sentence):
    with pytest.raises(InputError, match=sentence):
        Nuts(**settings)
