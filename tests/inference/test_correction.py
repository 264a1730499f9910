"""Samples drawn with an approximate likelihood become those of the exact one, or the certificate says no."""

from __future__ import annotations

import dataclasses
from functools import cache
from types import SimpleNamespace

import analytic
import numpy as np
import pytest

from galfit_sr.inference.correction import LEAST_EFFECTIVE, in_words, reweigh, sampled_on
from galfit_sr.inference.importance import weigh
from galfit_sr.inference.mixture import Mixture, laplace_mixture
from galfit_sr.inference.nested import Nested, run_nested
from galfit_sr.inference.preview import previewed
from galfit_sr.inference.problem import CHUNK
from galfit_sr.inference.sampled import Sampled
from galfit_sr.inference.stage import part_seed

SEEDS = range(5)
SETTINGS = Nested(nlive=100)
NDIM = 18
EXACT = analytic.correlated_gaussian(NDIM)


def emulated(sigmas: float) -> analytic.Known:
    """The same Gaussian as an emulator would see it that is off by so many standard deviations in one direction."""
    aside = np.linalg.cholesky(EXACT.covariance)[:, 3]
    arrays = EXACT.problem.arrays
    problem = dataclasses.replace(EXACT.problem, arrays=arrays._replace(means=arrays.means + sigmas * aside[None]))
    modes = tuple(dataclasses.replace(mode, z=mode.z + sigmas * aside) for mode in EXACT.modes)
    return dataclasses.replace(EXACT, problem=problem, modes=modes)


@cache
def run(sigmas: float, seed: int, nlive: int = SETTINGS.nlive) -> Sampled:
    near = emulated(sigmas)
    return run_nested(near.problem, laplace_mixture(near.modes), dataclasses.replace(SETTINGS, nlive=nlive), seed)


def assert_evidence(found: list[Sampled]) -> None:
    """Each within three of its errors, and their mean within three of its own."""
    off = np.array([s.log_evidence for s in found]) - EXACT.log_evidence
    error = np.array([s.log_evidence_error for s in found])
    assert np.all(np.abs(off) < 3 * error), (off, error)
    assert abs(off.mean()) < 3 * np.sqrt(np.sum(error**2)) / off.size


def test_weights_of_a_shifted_gaussian():
    """Ratios of N(0.5, 1) to N(0, 1): their mean is 1, their weights make the draws those of the first."""
    z = np.random.default_rng(1).standard_normal(4000)
    weighed = weigh(0.5 * z - 0.125)
    assert weighed.certified
    assert abs(weighed.log_mean) < 4 * weighed.log_mean_error
    assert weighed.log_mean_error == pytest.approx(np.sqrt(np.expm1(0.25) / 4000), rel=0.2)
    assert weighed.effective == pytest.approx(4000 * np.exp(-0.25), rel=0.1)
    mean = np.exp(weighed.log_weights) @ z
    assert abs(mean - 0.5) < 4 / np.sqrt(weighed.effective)


@pytest.mark.parametrize(("shape", "believed"), [(0.3, True), (1.0, False)])
def test_khat_is_the_shape_of_a_heavy_tail(shape, believed):
    ratios = np.random.default_rng(2).pareto(1 / shape, 20_000) + 1
    weighed = weigh(np.log(ratios))
    # The standard deviation of the shape, fitted to 3 sqrt(n) draws, is (1 + shape) / sqrt(3 sqrt(n)).
    assert abs(weighed.khat - shape) < 4 * (1 + shape) / np.sqrt(3 * np.sqrt(20_000))
    assert weighed.certified is believed


def test_equal_likelihoods_need_no_correction():
    weighed = weigh(np.full(500, -3.0))
    assert weighed.certified
    assert weighed.log_mean == pytest.approx(-3.0)
    assert weighed.effective == pytest.approx(500)


def test_impossible_draws_do_not_count():
    ratios = np.where(np.arange(1000) % 2, 0.0, -np.inf) + 1e-3 * np.sin(np.arange(1000))
    weighed = weigh(ratios)
    assert weighed.log_mean == pytest.approx(np.log(0.5), abs=1e-3)
    assert weighed.effective == pytest.approx(500, rel=1e-3)


@pytest.mark.parametrize("spread", [120.0, 140.0, 300.0, 1e4])
def test_hopeless_weights_are_told_without_a_warning(spread):
    """NumPy's, of quantiles of the tail that overflow."""
    z = np.random.default_rng(9).standard_normal(1024)
    weighed = weigh(spread * np.sign(z) * z**2)
    assert not weighed.certified
    assert weighed.effective < 5
    assert np.exp(weighed.log_weights).sum() == pytest.approx(1)


def test_good_emulator_is_corrected():
    runs = [run(0.5, seed, nlive=200) for seed in SEEDS]
    corrected = [reweigh(EXACT.problem, r, seed) for seed, r in enumerate(runs)]
    assert all(c.correction.certified and c.sampled.converged for c in corrected)
    assert_evidence([c.sampled for c in corrected])
    aside = np.linalg.inv(np.linalg.cholesky(EXACT.covariance))[3]
    for c in corrected:
        assert c.weighed.effective > LEAST_EFFECTIVE
        off = np.exp(c.sampled.log_weights) @ (c.sampled.z - EXACT.mean) @ aside
        assert abs(off) < 4 / np.sqrt(c.weighed.effective)
    before = [np.exp(r.log_weights) @ (r.z - EXACT.mean) @ aside for r in runs]
    assert min(before) > 4 / np.sqrt(1000), "without the correction they are off"


@pytest.mark.parametrize("sigmas", [3.0, 8.0])
def test_bad_emulator_is_flagged_and_its_posterior_is_a_start(sigmas):
    found = []
    for seed in SEEDS:
        flagged = reweigh(EXACT.problem, run(sigmas, seed), seed)
        assert not flagged.correction.certified
        assert not flagged.sampled.converged
        around = Mixture(np.ones(1), flagged.z.mean(axis=0)[None], np.cov(flagged.z.T)[None])
        exact = run_nested(EXACT.problem, around, SETTINGS, part_seed(seed, 2))
        found.append(exact)
        record = sampled_on(flagged.correction, "re-partitioned", exact, exact.calls)
        assert record.certified
        assert record.exact_calls == exact.calls + flagged.correction.draws
    assert_evidence(found)


@pytest.mark.parametrize(("sigmas", "hopeless"), [(0.5, False), (3.0, False), (8.0, True)])
def test_a_first_answer_tells_whether_an_emulator_is_hopeless(sigmas, hopeless):
    near = emulated(sigmas)
    answer = SimpleNamespace(problem=near.problem, modes=near.modes, calls=10)
    found = previewed(EXACT.problem, answer, 1)
    assert found.calls == 2 * CHUNK
    assert (found.instead is not None) is hopeless
    if found.instead is not None:
        (mode,) = near.modes
        white = np.linalg.solve(np.linalg.cholesky(mode.covariance), (found.instead.z - mode.z).T)
        assert abs(np.mean(white**2) - 1) < 4 * np.sqrt(2 / white.size)
        record = reweigh(EXACT.problem, found.instead, 1).correction
        assert not record.certified
        assert record.draws == CHUNK
        assert record.khat > record.most_khat
        assert record.emulated_log_evidence is None


def test_likelihoods_that_are_not_finite_tell_nothing():
    """There is nothing to compare, and the run itself says what is wrong."""
    near = emulated(8.0)
    arrays = EXACT.problem.arrays
    nowhere = dataclasses.replace(EXACT.problem, arrays=arrays._replace(log_norms=arrays.log_norms - np.inf))
    answer = SimpleNamespace(problem=near.problem, modes=near.modes, calls=10)
    assert previewed(nowhere, answer, 1).instead is None


def test_run_that_did_not_converge_is_not_certified():
    partial = dataclasses.replace(run(0.5, 0, nlive=200), converged=False)
    corrected = reweigh(EXACT.problem, partial, 0)
    assert corrected.weighed.certified
    assert not corrected.correction.certified
    assert "not certified" in in_words(dataclasses.asdict(corrected.correction))
