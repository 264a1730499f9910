"""Correlated noise: its correlation, its deviates, and how much the mean of a map varies by it."""

import math

import numpy as np
import pytest

from galfit_sr.correlation import along_a_side, deviates, inflation, shared, width_of


def test_the_correlation_is_that_of_smoothed_noise():
    """Smooth white noise with a Gaussian: the correlation is the kernel's product with its shifted self."""
    fwhm = 3.0
    x = np.arange(-40, 41)
    kernel = np.exp(-(x**2) / 2 / (fwhm / math.sqrt(8 * math.log(2))) ** 2)
    smoothed = [np.sum(kernel * np.roll(kernel, shift)) / np.sum(kernel**2) for shift in range(8)]
    # A Gaussian of 1.3 pixels, summed over pixels in place of an integral, is off by exp(-2 pi^2 s^2 / 2).
    np.testing.assert_allclose(along_a_side(20, fwhm)[0, :8], smoothed, atol=1e-6)
    assert width_of(along_a_side(20, fwhm)[0, 1]) == pytest.approx(fwhm)


def test_without_correlation_pixels_are_independent():
    assert np.array_equal(along_a_side(5, 0.0), np.eye(5))
    assert np.array_equal(deviates(np.random.default_rng(1), 9, 0.0), np.random.default_rng(1).normal(size=(9, 9)))
    assert inflation(np.arange(81).reshape(9, 9), 0.0) == pytest.approx(1)
    assert inflation(np.arange(81).reshape(9, 9) // 3, 0.0) == pytest.approx(1)


def test_the_mean_of_a_large_map_varies_by_the_sum_of_the_correlation():
    fwhm = 2.5
    deviation = fwhm / math.sqrt(8 * math.log(2))
    labels = np.arange(160**2).reshape(160, 160)
    # Edges take away about 2 sqrt(2 / pi) s / 160 of each side's sum.
    assert inflation(labels, fwhm) == pytest.approx(4 * math.pi * deviation**2, rel=0.03)


@pytest.mark.parametrize("kind", ["pixels", "mask", "bins"])
def test_the_mean_varies_as_it_says(kind):
    rng, fwhm, size = np.random.default_rng(2), 2.5, 16
    labels = np.arange(size**2).reshape(size, size)
    if kind == "mask":
        labels = np.where(rng.random(labels.shape) < 0.4, labels, -1)
    if kind == "bins":
        # Blocks of 4x4, 2x2 and single pixels.
        y, x = np.mgrid[:size, :size]
        step = np.where(x < 8, 4, np.where(y < 8, 2, 1))
        labels = (y - y % step) * size + x - x % step
    _, first = np.unique(labels[labels >= 0], return_index=True)
    means = []
    for _ in range(600):
        data = shared(deviates(rng, size, fwhm), labels, fwhm)[labels >= 0][first]
        means.append(data.mean())
    # A variance from 600 draws is known to sqrt(2 / 600).
    assert first.size * np.var(means) == pytest.approx(inflation(labels, fwhm), rel=5 * math.sqrt(2 / 600))


def test_data_that_share_a_label_have_unit_variance():
    rng = np.random.default_rng(3)
    labels = np.full((8, 8), -1)
    labels[:4], labels[5, 5] = 2, 9
    fields = np.array([shared(deviates(rng, 8, 3.0), labels, 3.0) for _ in range(500)])
    assert np.ptp(fields[:, :4], axis=(1, 2)).max() == 0
    for row, column in ((0, 0), (5, 5), (7, 7)):
        assert fields[:, row, column].var() == pytest.approx(1, abs=5 * math.sqrt(2 / 500))
