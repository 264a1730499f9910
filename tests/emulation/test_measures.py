"""Measures of a network, against residuals that are known."""

import math

import jax
import numpy as np
import pytest
from small_network import RECIPE, Small, examples, ranges

from galfit_sr.emulation.calibration import calibration
from galfit_sr.emulation.learning import Descent, begin, noise
from galfit_sr.emulation.measures import CENTRE, distance_from_centre, measures, outside, residuals
from galfit_sr.emulation.network import Weights
from galfit_sr.emulation.scale_free import CONTEXT
from galfit_sr.maps import MAP_NAMES, TYPICAL_NOISE
from galfit_sr.model.scene import kpc_per_arcsec


@pytest.fixture(scope="module")
def some():
    return examples()


def constant(some, in_noise):
    """Residuals of so many times the typical noise in every pixel."""
    return np.broadcast_to(in_noise * np.asarray(noise(some.unit))[:, None, None], some.high.shape).astype(np.float32)


def test_a_constant_error_is_measured_as_what_it_is(some):
    found = measures(constant(some, 3.0), some, RECIPE)
    assert found["galaxies"] == 8
    assert found["not_finite"] == 0
    for region in ("whole", "centre"):
        assert found["noise"][region] == pytest.approx({"median": 3.0, "p90": 3.0}, rel=1e-3)
        for name, typical in zip(MAP_NAMES, TYPICAL_NOISE, strict=True):
            assert found["maps"][name][region] == pytest.approx({"median": 3 * typical, "p99": 3 * typical}, rel=1e-3)


def test_an_error_at_the_centre_is_measured_there(some):
    residual = np.zeros_like(some.high)
    for galaxy, (column, row) in zip(residual, some.context[:, :2], strict=True):
        # The high-resolution pixel in which the centre is.
        x, y = (int((place + 0.5) * 4) for place in (column, row))
        galaxy[y, x, 0] = 0.02
    noise = measures(residual, some, RECIPE)["noise"]
    # One pixel of 6400, and of the 50 or so within a radius of four; a quarter of the maps.
    assert noise["whole"]["median"] == pytest.approx(math.sqrt(1 / 4 / 6400), rel=1e-3)
    assert noise["centre"]["median"] == pytest.approx(math.sqrt(1 / 4 / (16 * math.pi)), rel=0.1)


def test_the_published_measure_is_of_maps_scaled_by_their_range(some):
    brightness = some.high[..., 0] + some.unit.brightness[:, None, None]
    residual = np.zeros_like(some.high)
    residual[..., 0] = 0.1 * np.ptp(brightness)
    assert measures(residual, some, RECIPE)["l1"] == pytest.approx(0.1 / 4, rel=1e-3)


def test_what_is_not_finite_is_counted_and_left_out(some):
    residual = constant(some, 2.0).copy()
    residual[0, :3, 0, 1] = np.nan
    found = measures(residual, some, RECIPE)
    assert found["not_finite"] == 3
    assert found["noise"]["whole"] == pytest.approx({"median": 2.0, "p90": 2.0}, rel=1e-3)


def test_residuals_do_not_depend_on_batches(some):
    with jax.enable_x64(False):
        network = Small()
        state = begin(Descent(network, "l1", 0.01, 0.9, 0.9), 0)
        weights = Weights(state.weights, ranges(some), None)
        together = residuals(network, weights, some)
        alone = residuals(network, weights, jax.tree.map(lambda array: array[5:6], some))
    assert together.shape == some.high.shape
    np.testing.assert_allclose(together[5:6], alone, rtol=1e-4, atol=1e-5)


def test_normal_residuals_are_calibrated(some):
    """Noise of another size in every pixel and map, with a broken pixel."""
    rng = np.random.default_rng(4)
    sigma = np.exp(rng.normal(size=some.high.shape)).astype(np.float32)
    residual = (rng.normal(size=sigma.shape) * sigma).astype(np.float32)
    residual[0, 0, 0, 0] = np.nan
    found = calibration(residual, sigma, some, RECIPE)
    assert found["galaxies"] == 8
    for name in MAP_NAMES:
        for key, sizes in found["maps"][name].items():
            # The centre has 400 pixels in all: its quantiles are known to 6 %.
            wanted = dict.fromkeys(("std", "68.3 %", "95.4 %"), 1.0)
            assert sizes == pytest.approx(wanted, abs=0.2 if key == "centre" else 0.03)


def test_calibration_sees_sizes_tails_and_bias(some):
    ones = np.ones_like(some.high)
    normal = np.random.default_rng(4).normal(size=ones.shape).astype(np.float32)
    small = calibration(0.5 * normal, ones, some, RECIPE)["maps"]["velocity"]["whole"]
    assert list(small.values()) == pytest.approx([0.5] * 3, rel=0.03)
    biased = calibration(ones, ones, some, RECIPE)["maps"]["velocity"]["whole"]
    assert list(biased.values()) == pytest.approx([1.0, 1.0, 0.5])
    far = np.where(distance_from_centre(some, RECIPE)[..., None] < CENTRE, 3 * normal, normal)
    there = calibration(far, ones, some, RECIPE)["maps"]["velocity"]
    assert there["centre"]["std"] == pytest.approx(3.0, rel=0.2)
    assert there["far"]["std"] == pytest.approx(1.0, rel=0.03)


def test_galaxies_outside_the_box_are_outside():
    there = outside(RECIPE, 8)
    inclination = np.degrees(np.arccos(there.context[:, CONTEXT.index("cos_inclination")]))
    assert np.all((inclination > 59.9) & (inclination < 75.1))
    radii = there.context[:, [CONTEXT.index(f"log10_{star}_radius") for star in ("bulge", "disc1", "disc2")]]
    assert np.all(radii[:, 2:] >= radii[:, :2])
    # In pixels, which are 2 arcsec at a redshift of 0.06.
    assert radii.max() > 1.5 - math.log10(2 * kpc_per_arcsec(0.06))
    assert np.isfinite(there.high).all()
    assert np.isfinite(there.low).all()
