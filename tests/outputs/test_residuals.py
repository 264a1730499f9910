"""Patterns in residuals are told, and noise without a pattern is not."""

import dataclasses

import numpy as np
import pytest

from galfit_sr.correlation import deviates, shared, width_of
from galfit_sr.inference.residuals import _residuals, neighbour_correlation, patterns

NAMES = ("brightness", "velocity", "dispersion")


def noisy(posterior, observation, correlation, seed, bins=True):
    """The posterior's best maps in place of the data, with noise of a width [arcsec] on top."""
    width, random = correlation / observation.pixel_scale, np.random.default_rng(seed)
    observation = observation if bins else dataclasses.replace(observation, bins=None)
    values = {}
    for name in NAMES:
        field = shared(deviates(random, observation.size, width), observation.labels(name), width)
        values[name] = getattr(posterior.binned_maps, name) + getattr(observation.errors, name) * field
    return dataclasses.replace(observation, values=observation.values._replace(**values))


def warnings(posterior, observation, correlation=0.0):
    return patterns(posterior.maps, posterior.binned_maps, NAMES, observation, correlation)


def neighbours(posterior, observation, name):
    own = _residuals(posterior.maps, posterior.binned_maps, observation, name)
    return neighbour_correlation(own.values, own.pairs), own.pairs.shape[1]


@pytest.mark.parametrize("bins", [False, True], ids=["pixels", "bins"])
def test_residuals_that_resemble_their_neighbours_are_told(posterior, observation, bins):
    for seed in range(8):
        assert warnings(posterior, noisy(posterior, observation, 0.0, seed, bins)) == ()
        loud = noisy(posterior, observation, 2.5, seed, bins)
        warning = warnings(posterior, loud)[0]
        assert "Neighbouring residuals are alike" in warning
        assert "brightness (0." in warning
        assert "correlation = " in warning
        # What the likelihood takes into account is no news.
        assert warnings(posterior, loud, 2.5) == ()


def test_a_star_is_told(posterior, observation):
    quiet = noisy(posterior, observation, 0.0, 1)
    y, x = np.mgrid[: observation.size, : observation.size]
    star = 10 * observation.errors.brightness * np.exp(-((x - 15) ** 2 + (y - 8) ** 2) / 2)
    spoilt = dataclasses.replace(quiet, values=quiet.values._replace(brightness=quiet.values.brightness + star))
    warning = warnings(posterior, spoilt)[0]
    assert "brightness" in warning
    assert "velocity" not in warning
    assert "region" in warning


def test_a_centre_that_fits_worse_is_told_whatever_the_scale_of_the_errors(posterior, observation):
    quiet = noisy(posterior, observation, 0.0, 2)
    bright = posterior.maps.brightness > np.quantile(posterior.maps.brightness[quiet.good.brightness], 0.9)
    checkered = np.where(np.indices(bright.shape).sum(axis=0) % 2, 1.0, -1.0) * bright
    off = quiet.values.brightness + 3 * observation.errors.brightness * checkered
    spoilt = dataclasses.replace(quiet, values=quiet.values._replace(brightness=off))
    for scale in (1.0, 0.1, 10.0):
        errors = type(quiet.errors)(*(scale * e for e in quiet.errors))
        assert warnings(posterior, dataclasses.replace(quiet, errors=errors)) == ()
        (warning,) = warnings(posterior, dataclasses.replace(spoilt, errors=errors))
        assert "The brightest 10 % of the data fit worse" in warning
        assert "PSF" in warning


@pytest.mark.parametrize("bins", [False, True], ids=["pixels", "bins"])
def test_neighbours_of_independent_noise_have_the_error_that_is_assumed(posterior, observation, bins):
    found = []
    for seed in range(100):
        number, pairs = neighbours(posterior, noisy(posterior, observation, 0.0, seed, bins), "velocity")
        found.append(number * np.sqrt(pairs))
    assert np.mean(found) == pytest.approx(0, abs=5 / np.sqrt(100))
    assert np.std(found) == pytest.approx(1, abs=5 / np.sqrt(200))


def test_neighbours_are_counted_once(posterior, observation):
    """Blocks of 2x2 pixels share two pixels' sides with each neighbour, which is one pair."""
    _, pixels = neighbours(posterior, dataclasses.replace(observation, bins=None), "velocity")
    _, bins = neighbours(posterior, observation, "velocity")
    count = np.unique(observation.bins[observation.bins >= 0]).size
    assert pixels == 2 * bins + 4 * count


def test_the_width_that_would_account_for_the_neighbours(posterior, observation):
    number, _ = neighbours(posterior, noisy(posterior, observation, 2.5, 3, bins=False), "brightness")
    # Some 240 pixels, of which a tenth are independent, tell the correlation to about 0.05.
    assert width_of(number) == pytest.approx(2.5, rel=0.25)


def test_maps_without_neighbours_say_nothing(posterior, observation):
    y, x = np.indices(observation.bins.shape)
    alone = observation.good.brightness & (y % 2 == 0) & (x % 2 == 0)
    few = dataclasses.replace(observation, good=observation.good._replace(brightness=alone), bins=None)
    assert patterns(posterior.maps, posterior.binned_maps, ("brightness",), few, 0.0) == ()
    one = np.zeros_like(alone)
    one[12, 12] = True
    few = dataclasses.replace(observation, good=observation.good._replace(brightness=one), bins=None)
    assert patterns(posterior.maps, posterior.binned_maps, ("brightness",), few, 0.0) == ()
