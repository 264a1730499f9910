"""Ranks of truths and the tests of them, for posteriors that are known to be right, or wrong."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from galfit_sr.inference.calibration import LEVELS, ecdf_band, holm, judge
from galfit_sr.inference.ranks import rank, rank_error
from galfit_sr.inference.statistics import effective_sample_size

NAMES = [f"p{i}" for i in range(18)]


def scores(seed: int, mocks: int) -> np.ndarray:
    """(mocks, 18) normal scores of right posteriors, those of one mock correlated as those of parameters are."""
    rng = np.random.default_rng(seed)
    return math.sqrt(0.7) * rng.standard_normal((mocks, 18)) + math.sqrt(0.3) * rng.standard_normal((mocks, 1))


def judged(z: np.ndarray):
    return judge(NAMES, stats.norm.cdf(z))


def test_right_posteriors_fail_no_more_often_than_they_may():
    """Four families of tests at 1 % each: 4 % at most, and 10 of 100 once in 200 times."""
    assert sum(not judged(scores(seed, 64)).passed for seed in range(100)) < 10


@pytest.mark.parametrize(
    ("wrong", "word", "mocks"),
    [
        (lambda z: z / 0.7, "errors are too small", 32),
        (lambda z: z / 1.5, "errors are too large", 64),
        (lambda z: z + 0.8, "too low by 0", 32),
        (lambda z: z - 0.8, "too high by 0", 32),
        (lambda z: np.where(np.arange(18) == 5, z + 0.6, z), "p5: ranks are not uniform", 128),
        (lambda z: np.where(np.arange(18) == 5, 1.6 * z, z), "p5: errors are too small", 64),
    ],
    ids=["too narrow", "too wide", "low", "high", "one is biased", "one is too narrow"],
)
def test_wrong_posteriors_fail(wrong, word, mocks):
    for seed in range(10):
        judgement = judged(wrong(scores(seed, mocks)))
        assert not judgement.passed
        assert any(word in reason for reason in judgement.reasons), judgement.reasons


def test_symmetric_errors_are_seen_where_the_distance_alone_is_blind():
    """Errors understated by 30 %, few mocks: why there is a second test."""
    judgements = [judged(scores(seed, 32) / 0.7) for seed in range(20)]
    assert sum(any(row.uniformity.rejects for row in j.rows) for j in judgements) < 10
    assert all(any(row.scatter.rejects for row in j.rows) for j in judgements)


def test_coverage_and_its_errors():
    mocks = 400
    judgement = judged(scores(3, mocks))
    for i, level in enumerate(LEVELS):
        for row in judgement.rows:
            test = row.coverage[i]
            assert test.error == pytest.approx(math.sqrt(level * (1 - level) / mocks))
            assert abs(test.value - level) < 4 * test.error
        pooled = judgement.pooled[i]
        assert pooled.value == pytest.approx(np.mean([row.coverage[i].value for row in judgement.rows]))
        # Correlated parameters are worth less than 18 independent ones, more than a single one.
        assert test.error / math.sqrt(18) <= pooled.error < test.error
        assert abs(pooled.value - level) < 4 * pooled.error


def test_pooled_error_is_the_scatter_of_correlated_parameters():
    """18 copies of one parameter are worth one."""
    z = np.repeat(scores(0, 200)[:, :1], 18, axis=1)
    judgement = judged(z)
    assert judgement.pooled[0].error == pytest.approx(judgement.rows[0].coverage[0].error, rel=0.1)


def test_two_mocks_that_agree_prove_nothing():
    """Their scatter is zero, which is no certainty."""
    assert judge(["p"], np.array([[0.4], [0.5]])).passed


def test_holm():
    """Holm's own procedure on four p-values: 0.01 * 4, then 0.02 * 3, 0.03 * 2 (not below the one before), 0.5."""
    np.testing.assert_allclose(holm(np.array([0.03, 0.01, 0.5, 0.02])), [0.06, 0.04, 0.5, 0.06])
    assert holm(np.array([[0.6], [0.9]])).tolist() == [[1.0], [1.0]]


def test_the_band_holds_as_many_as_it_says():
    places = np.linspace(0.01, 0.99, 99)
    low, high = ecdf_band(64, places, 0.9, seed=0)
    u = np.random.default_rng(1).random((2000, 64, 1))
    ecdf = np.mean(u <= places, axis=1)
    inside = np.mean(np.all((ecdf >= low - 1e-9) & (ecdf <= high + 1e-9), axis=1))
    # Counts are whole numbers: bands hold at least so many, and a few more.
    assert 0.9 - 3 * math.sqrt(0.09 / 2000) < inside < 0.95


def test_ranks_of_few_equal_draws_are_exactly_uniform():
    rng = np.random.default_rng(0)
    found = [rank(d[1:], np.full(4, 0.25), d[0], 4.0, rng) for d in rng.standard_normal((3000, 5))]
    assert stats.kstest(found, "uniform").pvalue > 0.01
    assert abs(np.var(found) - 1 / 12) < 4 * math.sqrt(1 / 180 / 3000)


def test_ties_with_the_truth_are_dealt_out():
    """A parameter that draws hit exactly, at an edge say."""
    rng = np.random.default_rng(0)
    found = [rank(d[1:].astype(float), np.full(6, 1 / 6), float(d[0]), 6.0, rng) for d in rng.integers(0, 2, (3000, 7))]
    # Within 4 of what two values for all would give if they were not dealt out: two spikes.
    assert stats.kstest(found, "uniform").pvalue > 0.01


def test_weighted_samples_give_the_ranks_of_the_weighted_distribution():
    """Samples of a wider Gaussian with a standard normal's weights; the share below the truth is the normal's."""
    rng = np.random.default_rng(2)
    values = 1.5 * rng.standard_normal(20_000)
    weights = np.exp(-0.5 * values**2 * (1 - 1 / 1.5**2))
    weights /= weights.sum()
    size = effective_sample_size(weights)
    for truth in (-2.0, -0.3, 0.0, 1.2):
        expected = stats.norm.cdf(truth)
        error = float(rank_error(np.array(expected), np.array(size)))
        assert abs(rank(values, weights, truth, size, rng) - expected) < 5 * error + 1 / size


@pytest.mark.parametrize("middle", [0.0, math.pi, -math.pi + 0.05])
def test_angles_are_cut_opposite_to_the_posterior(middle):
    rng = np.random.default_rng(3)
    circle = (-math.pi, 2 * math.pi)
    turned = middle + 0.2 * rng.standard_normal(4000)
    values = (turned + math.pi) % (2 * math.pi) - math.pi
    for offset in (-0.2, 0.0, 0.2):
        truth = (middle + offset + math.pi) % (2 * math.pi) - math.pi
        found = rank(values, np.full(4000, 1 / 4000), truth, 4000.0, rng, circle)
        # One draw of 4000 scatters by 0.008.
        assert found == pytest.approx(stats.norm.cdf(offset / 0.2), abs=0.04)


def test_an_angle_of_which_nothing_is_known_has_uniform_ranks():
    rng = np.random.default_rng(4)
    circle, weights = (-math.pi, 2 * math.pi), np.full(10, 1 / 10)
    draws = rng.uniform(-math.pi, math.pi, (10_000, 11))
    found = [rank(d[1:], weights, d[0], 10.0, rng, circle) for d in draws]
    # A cut opposite to the mean of the samples alone gives p = 3e-31.
    assert stats.kstest(found, "uniform").pvalue > 0.01
