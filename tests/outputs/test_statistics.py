"""Weighted and circular statistics against distributions whose quantiles are known."""

import numpy as np
import pytest
from scipy.stats import norm

from galfit_sr.inference.statistics import LEVELS, describe, effective_sample_size, quantiles, wrap


def weighted_gaussian(n=40_000, mean=3.0, std=0.5, seed=0):
    """Samples of a Gaussian twice as wide and off by half a sigma, weighted to the one asked for."""
    x = np.random.default_rng(seed).normal(mean + std / 2, 2 * std, size=n)
    weights = norm.pdf(x, mean, std) / norm.pdf(x, mean + std / 2, 2 * std)
    return x, weights / weights.sum()


def quantile_errors(std, size):
    """Standard deviations of sample quantiles of a Gaussian: sqrt(q (1 - q) / n) / density."""
    q = np.array(LEVELS)
    return np.sqrt(q * (1 - q) / size) / norm.pdf(norm.ppf(q), 0, 1) * std


def test_weighted_quantiles_of_a_gaussian():
    x, weights = weighted_gaussian()
    size = effective_sample_size(weights)
    found = np.array(describe(x, weights))
    allowed = 4 * quantile_errors(0.5, size)
    assert np.all(np.abs(found[2:] - norm.ppf(LEVELS, 3.0, 0.5)) < allowed)
    assert abs(found[0] - 3.0) < 4 * 0.5 / np.sqrt(size)
    assert abs(found[1] - 0.5) < 4 * 0.5 / np.sqrt(2 * size)
    # Without their weights the same samples must fail, or the tolerance tests nothing.
    unweighted = np.array(describe(x, np.ones_like(x)))
    assert not np.any(np.abs(unweighted[2:] - norm.ppf(LEVELS, 3.0, 0.5)) < allowed)


def test_quantiles_of_equal_weights_are_hazens():
    x = np.random.default_rng(3).normal(size=101)
    expected = np.quantile(x, LEVELS, method="hazen")
    np.testing.assert_allclose(quantiles(x, np.full(101, 0.2), LEVELS), expected, rtol=0, atol=1e-12)


def test_kish_counts_equal_weights():
    assert effective_sample_size(np.array([0.0, 2.0, 2.0, 0.0, 2.0])) == pytest.approx(3, abs=1e-12)


def test_statistics_across_the_end_of_the_circle():
    x, weights = weighted_gaussian(mean=np.pi, std=0.2)
    row = describe(wrap(x, -np.pi, 2 * np.pi), weights, (-np.pi, 2 * np.pi))
    size = effective_sample_size(weights)
    allowed = 4 * quantile_errors(0.2, size)
    expected = wrap(norm.ppf(LEVELS, np.pi, 0.2), -np.pi, 2 * np.pi)
    difference = wrap(np.array(row[2:]) - expected, -np.pi, 2 * np.pi)
    assert np.all(np.abs(difference) < allowed)
    assert row.q05 > 2.5
    assert row.q95 < -2.5
    assert abs(row.std - 0.2) < 4 * 0.2 / np.sqrt(2 * size)
    assert all(-np.pi <= value < np.pi for value in (row.mean, *row[2:]))


def test_circular_statistics_turn_with_the_circle():
    x, weights = weighted_gaussian(n=2000, mean=0.0, std=0.3)
    circle = (-np.pi, 2 * np.pi)
    still = describe(x, weights, circle)
    turned = describe(wrap(x + 3.0, *circle), weights, circle)
    for a, b in zip(still, turned, strict=True):
        shift = 0.0 if a is still.std else 3.0
        assert abs(wrap(b - a - shift, -np.pi, 2 * np.pi)) < 1e-9


def test_narrow_circle_and_line_agree():
    x, weights = weighted_gaussian(n=5000, mean=0.4, std=0.05)
    on_line, on_circle = describe(x, weights), describe(x, weights, (-np.pi, 2 * np.pi))
    # Around the mean, a circle differs from its tangent by sigma^2 / 2 of the third moment; here below 1e-4.
    np.testing.assert_allclose(on_circle, on_line, rtol=0, atol=1e-4)
