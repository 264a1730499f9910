"""Training pairs: which galaxies a design holds, what is seen of them, and that a program is compiled once."""

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from galfit_sr.emulation.pairs import galaxies, make_pairs, split, training_prior
from galfit_sr.emulation.recipe import Recipe
from galfit_sr.errors import InputError
from galfit_sr.maps import MAP_NAMES
from galfit_sr.model.galaxy import GalaxyModel
from galfit_sr.model.grid import Canvas
from galfit_sr.model.scene import make_scene
from galfit_sr.parameters import COMPONENT_NAMES

SURVEY = Recipe(draws="prior", seed=3, redshift=(0.01, 0.1))
CUBE = Recipe(draws="latin-hypercube", seed=3, redshift=(0.01, 0.1))
TOTAL = 40


@pytest.fixture(scope="module")
def pairs():
    """The first galaxies of a design, in two batches of which the second is not full."""
    return make_pairs(SURVEY, *galaxies(SURVEY, np.arange(13), TOTAL), batch=8)


def single(model, scene, theta):
    """Maps of one galaxy in single precision, as a caller of the model would have them."""
    with jax.enable_x64(False):
        values = training_prior(COMPONENT_NAMES).parameters.complete(jnp.asarray(theta))
        return jax.device_get(compiled(model)(values, scene()).maps)


@cache
def compiled(model):
    return jax.jit(model)


class TestGalaxies:
    """Designs."""

    def test_a_draw_from_the_prior_depends_on_seed_and_index_only(self):
        theta, redshift = galaxies(SURVEY, np.arange(TOTAL), TOTAL)
        some = np.array([7, 2, 39])
        for total in (TOTAL, 1000):
            again = galaxies(SURVEY, some, total)
            np.testing.assert_array_equal(again[0], theta[some])
            np.testing.assert_array_equal(again[1], redshift[some])
        other = galaxies(Recipe(draws="prior", seed=4, redshift=(0.01, 0.1)), some, TOTAL)
        assert not np.any(other[0] == theta[some])

    @pytest.mark.parametrize("recipe", [SURVEY, CUBE], ids=lambda r: r.draws)
    def test_galaxies_are_of_the_prior(self, recipe):
        theta, redshift = galaxies(recipe, np.arange(TOTAL), TOTAL)
        assert theta.dtype == redshift.dtype == np.float32
        assert np.isfinite(training_prior(COMPONENT_NAMES).log_density(jnp.asarray(theta, jnp.float64))).all()
        assert np.all((redshift >= 0.01 * (1 - 1e-6)) & (redshift <= 0.1 * (1 + 1e-6)))

    def test_a_latin_hypercube_has_one_galaxy_in_every_stratum(self):
        theta, redshift = galaxies(CUBE, np.arange(TOTAL), TOTAL)
        cube = np.asarray(training_prior(COMPONENT_NAMES).cube(jnp.asarray(theta, jnp.float64)))
        every = np.column_stack([cube, np.log(redshift / 0.01) / np.log(10)])
        np.testing.assert_array_equal(np.sort(np.floor(every * TOTAL), axis=0), np.arange(TOTAL)[:, None] + 0 * every)
        np.testing.assert_array_equal(galaxies(CUBE, np.array([5]), TOTAL)[0][0], theta[5])

    @pytest.mark.parametrize("recipe", [SURVEY, CUBE], ids=lambda r: r.draws)
    def test_the_precision_of_jax_does_not_matter(self, recipe):
        indices = np.arange(5)
        theta, _ = galaxies(recipe, indices, TOTAL)
        with jax.enable_x64(False):
            np.testing.assert_array_equal(galaxies(recipe, indices, TOTAL)[0], theta)

    def test_one_redshift_for_all(self):
        assert set(galaxies(Recipe(), np.arange(9), 9)[1]) == {np.float32(0.03)}

    @pytest.mark.parametrize("index", [-1, TOTAL])
    def test_an_index_beyond_the_design(self, index):
        with pytest.raises(InputError, match=f"pair {index} is not one of 40; an index from 0 to 39 is needed"):
            galaxies(SURVEY, np.array([0, index]), TOTAL)


class TestSplit:
    """No galaxy is both learnt from and validated with."""

    @pytest.mark.parametrize("recipe", [SURVEY, CUBE], ids=lambda r: r.draws)
    def test_parts_are_disjoint_and_complete(self, recipe):
        training, validation = split(recipe, 1000, 100)
        assert len(validation) == 100
        np.testing.assert_array_equal(np.sort(np.concatenate([training, validation])), np.arange(1000))
        learnt, held = ({row.tobytes() for row in galaxies(recipe, part, 1000)[0]} for part in (training, validation))
        assert (len(learnt), len(held)) == (900, 100)
        assert not learnt & held

    def test_it_repeats_itself(self):
        np.testing.assert_array_equal(split(CUBE, 1000, 100).validation, split(CUBE, 1000, 100).validation)
        other = split(Recipe(seed=4), 1000, 100).validation
        assert not np.array_equal(split(CUBE, 1000, 100).validation, other)


class TestMaps:
    """What the pairs show."""

    def test_shapes_and_types(self, pairs):
        assert pairs.theta.shape == (13, 18)
        assert pairs.redshift.shape == (13,)
        assert all(m.shape == (13, 20, 20) and m.dtype == np.float32 for m in pairs.low)
        assert all(m.shape == (13, 80, 80) and m.dtype == np.float32 for m in pairs.high)
        assert all(np.isfinite(m).all() for m in (*pairs.low, *pairs.high))

    @pytest.mark.parametrize("i", [0, 7, 12], ids=["first", "end of a batch", "last"])
    def test_they_are_what_the_model_gives_for_one_galaxy(self, pairs, i):
        redshift = float(pairs.redshift[i])
        low = single(SURVEY.low_model, lambda: SURVEY.low_scene(redshift), pairs.theta[i])
        high = single(SURVEY.high_model, lambda: SURVEY.high_scene(redshift), pairs.theta[i])
        for name in MAP_NAMES:
            for many, one in ((pairs.low, low), (pairs.high, high)):
                expected = getattr(one, name)
                # The order of rounding may differ; velocities cross zero.
                tolerance = 1e-5 * np.abs(expected).max()
                np.testing.assert_allclose(getattr(many, name)[i], expected, rtol=1e-5, atol=tolerance)

    def test_low_pixels_are_at_the_centres_of_their_blocks(self, pairs):
        # Blocks of 4x4 pixels have no pixel at their centre; those of 5x5 of the same field have.
        fine = Canvas(100, 0.4)
        model = GalaxyModel(canvas=fine, fidelity="point")
        maps = single(model, lambda: make_scene(fine, float(pairs.redshift[1])), pairs.theta[1])
        for low, high in zip(pairs.low, maps, strict=True):
            np.testing.assert_allclose(low[1], high[2::5, 2::5], rtol=1e-3, atol=1e-3 * np.abs(high).max())
        blocks = (np.arange(80) - 39.5).reshape(20, 4).mean(axis=1) * SURVEY.high.pixel_scale
        np.testing.assert_allclose(blocks, (np.arange(20) - 9.5) * SURVEY.low.pixel_scale)

    def test_the_high_resolution_is_seen_through_the_psf(self, pairs):
        sharp = single(
            GalaxyModel(canvas=SURVEY.high, fidelity="point"), lambda: make_scene(SURVEY.high, 0.03), pairs.theta[0]
        )
        assert not np.allclose(sharp.dispersion, pairs.high.dispersion[0], rtol=1e-2)

    def test_more_galaxies_compile_nothing(self, pairs):
        programs = []
        jax.monitoring.register_event_duration_secs_listener(
            lambda event, seconds, **_: programs.append(event) if event.endswith("backend_compile_duration") else None
        )
        again = make_pairs(SURVEY, pairs.theta[3:], pairs.redshift[3:], batch=8)
        assert not programs
        for one, other in zip((*pairs.low, *pairs.high), (*again.low, *again.high), strict=True):
            np.testing.assert_array_equal(other, one[3:])
        # The count is not blind.
        jax.jit(lambda x: x + 2.75)(np.float64(1.0))
        assert programs

    @pytest.mark.parametrize(("parameter", "redshift"), [(np.nan, 0.03), (0.1, 0.5)], ids=["parameter", "redshift"])
    def test_maps_that_are_not_finite(self, pairs, parameter, redshift):
        theta = pairs.theta[:2].copy()
        theta[1, 0] = parameter
        with pytest.raises(InputError, match=r"maps of a galaxy at redshift .* are not finite .x0 = "):
            make_pairs(SURVEY, theta, np.array([0.03, redshift], dtype=np.float32), batch=8)


SMALL = Recipe(fidelity="point", low=Canvas(4, 10.0), high=Canvas(16, 2.5))


def save_pairs() -> None:
    """What the subprocess below does."""
    made = make_pairs(SMALL, *galaxies(SMALL, np.arange(9), 9), batch=8)
    np.savez(sys.argv[1], devices=len(jax.devices()), maps=np.stack(made.high))


def test_four_devices_give_what_one_gives(tmp_path):
    here, out = Path(__file__), tmp_path / "four.npz"
    code = f"import sys; sys.path.insert(0, {str(here.parent)!r}); import test_pairs; test_pairs.save_pairs()"
    environment = {**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=4", "JAX_PLATFORMS": "cpu"}
    subprocess.run([sys.executable, "-c", code, out], env=environment, check=True, timeout=300)
    four = np.load(out)
    assert four["devices"] == 4
    one = make_pairs(SMALL, *galaxies(SMALL, np.arange(9), 9), batch=8)
    np.testing.assert_allclose(np.stack(one.high), four["maps"], rtol=1e-5)
