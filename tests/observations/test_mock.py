"""Mocks: footprint, noise, bins and seeds, on a stand-in for the galaxy model and once on the model itself."""

import dataclasses
import math

import jax.numpy as jnp
import numpy as np
import pytest

from galfit_sr.errors import InputError
from galfit_sr.maps import MAP_NAMES, Maps
from galfit_sr.model.galaxy import GalaxyModel, Prediction
from galfit_sr.model.grid import FULL_RESOLUTION, Canvas
from galfit_sr.observations import make_mock, read, write_observation
from galfit_sr.observations.binning import average_in_bins, voronoi_bins
from galfit_sr.observations.mock import BUNDLES, MOCK_TRUTH, footprint, signal_to_noise
from galfit_sr.parameters import default_parameters
from galfit_sr.priors import Prior


@dataclasses.dataclass(frozen=True)
class Disc:
    """Four smooth maps, without the physics."""

    canvas: Canvas = FULL_RESOLUTION
    fidelity: str = "point"

    def __call__(self, values, scene):
        offset = jnp.arange(self.canvas.size) - scene.origin[0]
        x, y = (offset * self.canvas.pixel_scale)[None, :], (offset * self.canvas.pixel_scale)[:, None]
        radius = jnp.hypot(x, y) + 1e-9
        maps = Maps(
            values["light"] - radius / 8, 150 * x / (radius + 2), 60 + 40 * jnp.exp(-radius / 4), 2 + 0.1 * radius
        )
        return Prediction(maps, None)


VALUES = {"light": 8.8}


def test_the_same_seed_gives_the_same_galaxy():
    one, other, third = (make_mock(VALUES, model=Disc(), seed=s) for s in (3, 3, 4))
    assert one.fingerprint() == other.fingerprint() != third.fingerprint()
    generator = np.random.default_rng(3)
    first, second = (make_mock(VALUES, model=Disc(), seed=generator) for _ in range(2))
    assert one.fingerprint() == first.fingerprint() != second.fingerprint()


def test_without_noise_the_maps_are_the_models():
    observation = make_mock(VALUES, model=Disc(), seed=0, noise=0, fibres=0)
    noisy = make_mock(VALUES, model=Disc(), seed=0, fibres=0)
    expected = Disc()(VALUES, type("Scene", (), {"origin": (39.5, 39.5)})).maps
    for name in MAP_NAMES:
        # The same double-precision formula, once compiled: the order of rounding may differ.
        np.testing.assert_allclose(getattr(observation.values, name), getattr(expected, name), rtol=1e-13)
        assert np.array_equal(getattr(observation.errors, name), getattr(noisy.errors, name))
        assert np.all(getattr(observation.good, name))


@pytest.mark.parametrize("noise", [1.0, 0.3])
def test_noise_has_the_size_that_the_errors_say(noise):
    exact = make_mock(VALUES, model=Disc(), seed=0, noise=0, fibres=0)
    observation = make_mock(VALUES, model=Disc(), seed=1, noise=noise, fibres=0)
    for name in MAP_NAMES:
        error = getattr(observation.errors, name)
        np.testing.assert_allclose(error, noise * getattr(exact.errors, name), rtol=1e-12)
        chi = (getattr(observation.values, name) - getattr(exact.values, name)) / error
        # 6400 independent deviates: mean 0 +- 1/80, mean square 1 +- sqrt(2)/80; five of these each.
        assert abs(chi.mean()) < 5 / 80
        assert abs((chi**2).mean() - 1) < 5 * math.sqrt(2) / 80


def test_correlated_noise_keeps_its_size():
    """The autocorrelation of a field smoothed with a Gaussian of deviation s is exp(-d^2 / (4 s^2))."""
    exact = make_mock(VALUES, model=Disc(), seed=0, noise=0, fibres=0)
    fwhm, pixel = 1.25, 0.5
    deviation = fwhm / pixel / math.sqrt(8 * math.log(2))
    fields = []
    for seed in range(5):
        observation = make_mock(VALUES, model=Disc(), seed=seed, fibres=0, correlation=fwhm)
        fields += [(v - e) / s for v, e, s in zip(observation.values, exact.values, observation.errors, strict=True)]
    fields = np.array(fields)
    # Products of 20 fields of 6400 pixels; each is worth 6400 / (2 pi s^2), the sum of the squared correlation.
    error = math.sqrt(2 * math.pi * deviation**2 / fields.size)
    assert np.mean(fields**2) == pytest.approx(1, abs=5 * math.sqrt(2) * error)
    for shift in (1, 2, 4):
        expected = math.exp(-(shift**2) / (4 * deviation**2))
        assert np.mean(fields[:, shift:] * fields[:, :-shift]) == pytest.approx(expected, abs=5 * math.sqrt(2) * error)
        assert np.mean(fields[..., shift:] * fields[..., :-shift]) == pytest.approx(
            expected, abs=5 * math.sqrt(2) * error
        )
    # Edges are not special: 20 fields of 80 pixels along one.
    assert np.mean(fields[:, 0] ** 2) == pytest.approx(1, abs=5 * math.sqrt(2 * math.sqrt(2 * math.pi) / 1600))
    # Maps do not know of each other.
    assert np.mean(fields[::4] * fields[1::4]) == pytest.approx(0, abs=10 * error)


def test_correlated_noise_of_bins_has_their_errors():
    exact = make_mock({"light": 7.8}, model=Disc(), seed=0, fibres=61, bins=True, noise=0)
    chi, bins = [], exact.bins
    for seed in range(5):
        observation = make_mock({"light": 7.8}, model=Disc(), seed=seed, fibres=61, bins=True, correlation=1.25)
        off = ((observation.values.velocity - exact.values.velocity) / observation.errors.velocity)[bins >= 0]
        _, first, inverse = np.unique(bins[bins >= 0], return_index=True, return_inverse=True)
        np.testing.assert_allclose(off, off[first][inverse], atol=1e-9)
        chi.append(off[first])
    chi = np.array(chi)
    # Neighbouring bins are correlated: a bin and its four neighbours count as one.
    assert np.mean(chi**2) == pytest.approx(1, abs=5 * math.sqrt(2 * 5 / chi.size))


def test_errors_follow_the_light_within_what_the_survey_has():
    observation = make_mock(VALUES, model=Disc(), seed=0, fibres=127)
    ranges = {"brightness": (0.01, 0.12), "velocity": (2, 20), "dispersion": (3, 25)}
    order = np.argsort(observation.values.brightness[40, 40:54])
    assert order[0] > order[-1]
    for name, (low, high) in ranges.items():
        error, good = getattr(observation.errors, name), getattr(observation.good, name)
        assert low < error[good].min()
        assert error[good].max() < high
        assert np.all(np.diff(error[40, 40:54]) >= 0), name
        assert error[good].max() > 3 * error[good].min()
    relative = (observation.errors.ml / make_mock(VALUES, model=Disc(), seed=0, noise=0).values.ml)[good]
    assert 0.05 <= relative.min() < relative.max() < 0.2


def test_signal_to_noise_is_that_of_photons_and_sky():
    bright, faint = signal_to_noise(np.array([12.0, 12.2])), signal_to_noise(np.array([4.0, 4.2]))
    # Far above the sky it goes with the root of the light, far below with the light; the other term is 1e-5 of it.
    assert bright[1] / bright[0] == pytest.approx(10**0.1, rel=1e-3)
    assert faint[1] / faint[0] == pytest.approx(10**0.2, rel=1e-3)


@pytest.mark.parametrize("fibres", BUNDLES)
def test_the_footprint_is_a_hexagon_of_the_bundles_size(fibres):
    pixel = 0.1
    good = footprint(fibres, 401, pixel)
    corner = 2.5 * BUNDLES[fibres] + 1.25
    assert 3 * BUNDLES[fibres] * (BUNDLES[fibres] + 1) + 1 == fibres
    area = 1.5 * math.sqrt(3) * corner**2
    # Pixels are counted by their centres: the edge, six corners long, is uncertain by much less than half a pixel.
    assert good.sum() * pixel**2 == pytest.approx(area, abs=6 * corner * pixel / 2)
    assert good[200].sum() * pixel == pytest.approx(2 * corner, abs=2 * pixel)
    assert good[:, 200].sum() * pixel == pytest.approx(math.sqrt(3) * corner, abs=2 * pixel)
    assert np.array_equal(good, good[::-1])
    assert np.array_equal(good, good[:, ::-1])


def test_the_footprint_masks_every_map():
    observation = make_mock(VALUES, model=Disc(), seed=0, fibres=37)
    for good in observation.good:
        assert np.array_equal(good, footprint(37, 80, 0.5))


def test_bins_share_one_spectrum():
    observation = make_mock({"light": 7.8}, model=Disc(), seed=0, fibres=61, bins=True)
    exact = make_mock({"light": 7.8}, model=Disc(), seed=0, fibres=61, noise=0)
    bins, good = observation.bins, footprint(61, 80, 0.5)
    assert np.array_equal(bins >= 0, good)
    counts = np.bincount(bins[good])
    assert counts.min() >= 1
    assert counts.max() > 3
    for name in ("velocity", "dispersion"):
        for array in (getattr(observation.values, name), getattr(observation.errors, name)):
            per_bin = [np.unique(array[bins == b]).size for b in range(counts.size)]
            assert max(per_bin) == 1
    assert np.unique(observation.values.brightness[good]).size == good.sum()
    chi = (observation.values.velocity - average_in_bins(exact.values, bins).velocity) / observation.errors.velocity
    _, first = np.unique(bins[good], return_index=True)
    deviates = chi[good][first]
    # One deviate per bin, mean square 1 +- sqrt(2 / bins).
    assert abs((deviates**2).mean() - 1) < 5 * math.sqrt(2 / deviates.size)


def test_voronoi_bins_reach_their_target():
    observation = make_mock({"light": 7.6}, model=Disc(), seed=0, noise=0, fibres=127)
    ratio, good = signal_to_noise(observation.values.brightness), footprint(127, 80, 0.5)
    bins = voronoi_bins(ratio, good, 10.0)
    assert np.array_equal(np.unique(bins), np.arange(-1, bins.max() + 1))
    reached = np.sqrt(np.bincount(bins[good], ratio[good] ** 2))
    assert 9 < np.median(reached[np.bincount(bins[good]) > 1]) < 14
    alone = good & (ratio > 25)
    assert np.all(np.bincount(bins[good])[bins[alone]] <= 2)


def test_a_bins_dispersion_includes_the_spread_of_its_velocities():
    maps = Maps(
        brightness=np.log10([[1.0, 3.0]]),
        velocity=np.array([[100.0, -20.0]]),
        dispersion=np.array([[50.0, 70.0]]),
        ml=np.ones((1, 2)),
    )
    binned = average_in_bins(maps, np.zeros((1, 2), dtype=int))
    second = (1 * (50**2 + 100**2) + 3 * (70**2 + 20**2)) / 4
    np.testing.assert_allclose(binned.velocity, 10.0, rtol=1e-14)
    np.testing.assert_allclose(binned.dispersion, math.sqrt(second - 10**2), rtol=1e-14)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"fibres": 20}, "fibres is 20"),
        ({"noise": -1.0}, "noise is -1.0"),
        ({"noise": math.nan}, "noise is nan"),
        ({"correlation": -1.0}, "correlation is -1.0; the FWHM in arcsec"),
        ({"correlation": math.inf}, "correlation is inf"),
        ({"seed": -1}, "seed is -1"),
        ({"redshift": 0.0}, "redshift is 0.0"),
        ({"values": {"light": math.inf}}, "brightness is not finite"),
        ({"noise": "loud"}, "noise is 'loud'"),
        ({"correlation": "1"}, "correlation is '1'"),
        ({"redshift": None}, "redshift is None"),
        ({"psf_kinematics": 2.5}, "a PSF is 2.5; one such as"),
        ({"errors": 3}, "errors are 3; a number each for brightness, "),
        ({"values": {"light": "bright"}}, "light = 'bright'; a number is needed"),
        ({"values": 3}, "the parameters are 3; name -> value"),
        ({"values": {"x0": 0}, "model": GalaxyModel(("disc1", "halo"))}, "a model of disc1, halo needs y0, "),
        (
            {"values": {**MOCK_TRUTH, "bulge_slop": 1.2}, "model": GalaxyModel()},
            "unknown parameter 'bulge_slop'; did you mean 'bulge_slope'",
        ),
    ],
)
def test_what_cannot_be_observed(options, sentence):
    options = {"values": VALUES, "model": Disc(), "seed": 0, **options}
    with pytest.raises(InputError, match=sentence):
        make_mock(options.pop("values"), **options)


def test_the_default_galaxy_is_inside_its_prior():
    prior = Prior(default_parameters())
    theta = prior.parameters.flatten(MOCK_TRUTH)
    assert set(MOCK_TRUTH) == set(prior.parameters.names)
    assert np.isfinite(prior.log_density(theta))
    edges = np.asarray(prior.cube(theta))
    assert edges.min() > 0.01
    assert edges.max() < 0.99


def test_the_default_galaxy_survives_its_file(tmp_path):
    before = make_mock(MOCK_TRUTH, model=GalaxyModel(fidelity="point"), seed=1)
    write_observation(tmp_path / "mock.fits", before)
    after = read(tmp_path / "mock.fits")
    assert after.fingerprint() == before.fingerprint()
    assert after.truth == dict(MOCK_TRUTH)
    assert after.available == MAP_NAMES
    speed = np.abs(before.values.velocity[before.good.velocity])
    assert 100 < np.percentile(speed, 99) < 250


def test_given_errors_are_those_of_every_galaxy():
    """They, and with them the noise, tell nothing of the galaxy."""
    sizes = Maps(0.02, 5.0, 6.0, 0.1)
    bright, faint = (make_mock({"light": light}, model=Disc(), seed=2, noise=0.5, errors=sizes) for light in (9.5, 7.5))
    exact = make_mock({"light": 7.5}, model=Disc(), seed=2, noise=0)
    for name, size in sizes._asdict().items():
        assert np.array_equal(getattr(bright.errors, name), np.full((80, 80), 0.5 * size))
        assert np.array_equal(getattr(faint.errors, name), getattr(bright.errors, name))
        chi = (getattr(faint.values, name) - getattr(exact.values, name)) / (0.5 * size)
        # 6400 independent deviates: mean square 1 +- sqrt(2)/80; five of these.
        assert abs((chi**2).mean() - 1) < 5 * math.sqrt(2) / 80
