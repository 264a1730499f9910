"""Radial profiles: the model's where the posterior is a point, with a width where it is not."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from galfit_sr.analysis.profiles import from_ecsv, profile_bands, profiles_figure, to_ecsv
from galfit_sr.model.scene import make_scene


@pytest.fixture(scope="module")
def profiles(posterior, model):
    return profile_bands(posterior, model, 0.03)


def test_bands_of_a_point_are_the_models_profiles(posterior, model):
    point = dataclasses.replace(posterior, samples=np.repeat(posterior.best[None], len(posterior.samples), axis=0))
    profiles = profile_bands(point, model, 0.03)
    expected = jax.jit(model.profiles)(posterior.truth, jnp.asarray(profiles.radius), make_scene(model.canvas, 0.03))
    assert set(profiles.bands) == {(c, kind) for c, kinds in expected.items() for kind in kinds}
    for (component, kind), band in profiles.bands.items():
        # Two programs for the same double-precision numbers.
        np.testing.assert_allclose(band, np.tile(expected[component][kind], (3, 1)), rtol=1e-9)
        np.testing.assert_allclose(profiles.truth[component, kind], expected[component][kind], rtol=1e-12)


def test_bands_have_the_width_of_the_posterior(profiles, posterior):
    """The central light of a disc is M / (2 pi R^2) / (M/L), whose spread the samples give."""
    low, middle, high = profiles.bands["disc1", "surface_brightness"][:, 0]
    columns = posterior.columns()
    log_light = columns["log10_disc1_mass"] - 2 * columns["log10_disc1_radius"] - np.log10(columns["ml_disc1"])
    mean = np.sum(posterior.weights * log_light)
    spread = np.sqrt(np.sum(posterior.weights * (log_light - mean) ** 2))
    # Quantiles at 16 and 84 % of 100 draws: standard error 1.5 sigma / sqrt(100), each; four of them.
    assert np.log10(high / low) / 2 == pytest.approx(spread, abs=4 * 0.15 * spread / np.sqrt(2))
    assert low < middle < high


def test_circular_velocities_add_in_squares(posterior, model):
    point = dataclasses.replace(posterior, samples=np.repeat(posterior.best[None], len(posterior.samples), axis=0))
    bands = profile_bands(point, model, 0.03).bands
    parts = [bands[c, "circular_velocity"] for c in ("bulge", "disc1", "halo")]
    np.testing.assert_allclose(sum(v**2 for v in parts), bands["total", "circular_velocity"] ** 2, rtol=1e-9)


def test_profiles_are_restored_exactly(profiles):
    restored = from_ecsv(to_ecsv(profiles))
    np.testing.assert_array_equal(restored.radius, profiles.radius)
    assert restored.kpc_per_arcsec == profiles.kpc_per_arcsec
    for kind in ("bands", "truth"):
        left, right = getattr(profiles, kind), getattr(restored, kind)
        assert set(left) == set(right)
        for key in left:
            np.testing.assert_array_equal(left[key], right[key])


def test_truth_is_drawn_only_where_all_of_it_is_known(posterior, model, profiles):
    partial = {k: v for k, v in posterior.truth.items() if k != "bulge_slope"}
    assert profile_bands(dataclasses.replace(posterior, truth=partial), model, 0.03).truth == {}
    assert profiles.truth


def test_figure_shows_light_of_stars_only(profiles):
    light, velocity = profiles_figure(profiles).axes
    components = ["bulge", "inner disc", "halo", "total", "truth"]
    assert [t.get_text() for t in velocity.get_legend().get_texts()] == components
    labels = [line.get_label() for line in light.lines if not line.get_label().startswith("_")]
    assert labels == [c for c in components if c != "halo"]
    assert light.get_yscale() == "log"
