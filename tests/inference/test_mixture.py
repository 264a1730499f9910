"""Mixtures fitted to samples describe them, with as few components as the samples ask for, weighted or not."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from galfit_sr.inference.mixture import MOST_COMPONENTS, Mixture, fit_mixture

NDIM = 6


def density(mixture: Mixture, z: np.ndarray) -> np.ndarray:
    components = zip(mixture.weights, mixture.means, mixture.covariances, strict=True)
    return sum(weight * multivariate_normal(mean, covariance).pdf(z) for weight, mean, covariance in components)


def even(n: int) -> np.ndarray:
    return np.full(n, 1 / n)


def test_one_gaussian_is_one_component():
    rng = np.random.default_rng(1)
    covariance = np.diag(np.geomspace(1e-4, 1.0, NDIM))
    draws = rng.multivariate_normal(np.ones(NDIM), covariance, size=400)
    fitted = fit_mixture(draws, even(400), seed=0)
    assert fitted.weights == pytest.approx([1.0])
    np.testing.assert_allclose(fitted.means[0], draws.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(fitted.covariances[0], np.cov(draws.T, bias=True), rtol=1e-6, atol=1e-12)


def test_two_separate_modes_are_found_with_their_weights():
    rng = np.random.default_rng(2)
    draws = rng.standard_normal((600, NDIM)) * 0.1
    draws[:150] += 3.0
    fitted = fit_mixture(draws, even(600), seed=0)
    near = fitted.means[:, 0] > 1.5
    assert fitted.weights[near].sum() == pytest.approx(0.25, abs=1e-3)
    np.testing.assert_allclose(fitted.weights[near] @ fitted.means[near] / 0.25, 3.0, atol=0.05)


def test_bent_arms_are_described_better_than_by_one_gaussian():
    rng = np.random.default_rng(3)

    def bent(n: int) -> np.ndarray:
        z = 0.1 * rng.standard_normal((n, NDIM))
        z[:, 0] *= 10
        z[:, 1] += z[:, 0] ** 2
        return z

    draws, others = bent(800), bent(2000)
    fitted = fit_mixture(draws, even(800), seed=0)
    one = Mixture(np.ones(1), draws.mean(axis=0)[None], np.cov(draws.T)[None])
    assert 1 < len(fitted.weights) <= MOST_COMPONENTS
    assert np.mean(np.log(density(fitted, others)) - np.log(density(one, others))) > 0.5


def test_weights_of_the_samples_count():
    """Draws of a wide Gaussian with the weights that make them those of a narrow one elsewhere."""
    rng = np.random.default_rng(4)
    draws = rng.standard_normal((4000, 2))
    target = multivariate_normal([0.5, -0.5], np.diag([0.25, 0.5]))
    weights = target.pdf(draws) / multivariate_normal([0, 0], np.eye(2)).pdf(draws)
    fitted = fit_mixture(draws, weights / weights.sum(), seed=0)
    np.testing.assert_allclose(fitted.weights @ fitted.means, [0.5, -0.5], atol=0.06)
    z = target.rvs(2000, random_state=5)
    assert np.mean(target.logpdf(z) - np.log(density(fitted, z))) < 0.05
