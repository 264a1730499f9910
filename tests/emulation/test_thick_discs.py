"""Emulators for galaxies with thick discs: their pairs, what they are told of a galaxy, and whom they serve."""

from __future__ import annotations

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from galfit_sr.emulation.examples import as_examples
from galfit_sr.emulation.measures import outside
from galfit_sr.emulation.pairs import galaxies, make_pairs, training_prior
from galfit_sr.emulation.recipe import Recipe, read_recipe
from galfit_sr.emulation.registry import find_emulator
from galfit_sr.emulation.scale_free import CONTEXT, context_names
from galfit_sr.errors import InputError
from galfit_sr.inference.fit import pose
from galfit_sr.model.galaxy import GalaxyModel
from galfit_sr.model.grid import Canvas
from galfit_sr.observations.mock import MOCK_THICKNESS, MOCK_TRUTH, make_mock
from galfit_sr.parameters import default_parameters

COMPONENTS = ("bulge", "thick_disc1", "thick_disc2", "halo")
RECIPE = Recipe(fidelity="point", low=Canvas(4, 10.0), high=Canvas(16, 2.5), components=COMPONENTS)
TRUTH = {**MOCK_TRUTH, **MOCK_THICKNESS}
SETTINGS = """
galaxies = 16
validation = 8
batch = 8

[recipe]
fidelity = "point"
low = { size = 4, pixel_scale = 10.0 }
high = { size = 16, pixel_scale = 2.5 }
components = ["bulge", "thick_disc1", "thick_disc2", "halo"]
"""


@pytest.fixture(scope="module")
def pairs():
    return make_pairs(RECIPE, *galaxies(RECIPE, np.arange(64), 64), batch=16)


def test_a_recipe_is_kept_with_its_components():
    assert read_recipe(json.loads(json.dumps(RECIPE.table()))) == RECIPE
    with pytest.raises(InputError, match="'thick_disk1'; did you mean 'thick_disc1'"):
        Recipe(components=("bulge", "thick_disk1", "disc2", "halo"))


def test_pairs_are_maps_of_thick_discs_up_to_edge_on(pairs):
    parameters = training_prior(COMPONENTS).parameters
    inclination = pairs.theta[:, parameters.names.index("inclination")]
    assert np.degrees(inclination.max()) > 85
    edge_on = int(np.argmax(inclination))
    with jax.enable_x64(False):
        values = parameters.complete(jnp.asarray(pairs.theta[edge_on]))
        high = RECIPE.high_model(values, RECIPE.high_scene(0.03)).maps
        low = RECIPE.low_model(values, RECIPE.low_scene(0.03)).maps
    for name, *both in zip(high._fields, pairs.high, high, pairs.low, low, strict=True):
        for of_pair, alone in (both[:2], both[2:]):
            np.testing.assert_allclose(of_pair[edge_on], alone, rtol=2e-4, atol=2e-3, err_msg=name)


def test_a_network_is_told_how_thick_discs_are(pairs):
    names = context_names(COMPONENTS)
    assert names == (*CONTEXT, "thickness_disc1", "thickness_disc2")
    told = as_examples(RECIPE, pairs).context
    parameters = training_prior(COMPONENTS).names
    for name in names[-2:]:
        np.testing.assert_allclose(told[:, names.index(name)], pairs.theta[:, parameters.index(name)], rtol=1e-6)


def test_galaxies_outside_the_box_keep_their_inclinations():
    there = outside(RECIPE, 32)
    inclination = np.degrees(np.arccos(there.context[:, CONTEXT.index("cos_inclination")]))
    assert inclination.min() < 20
    assert inclination.max() > 80
    assert np.isfinite(there.high).all()


def test_a_trained_one_serves_galaxies_with_thick_discs_only(run, tmp_path):
    (tmp_path / "thick.toml").write_text(SETTINGS, encoding="utf-8")
    done = run("train", "bicubic", "--config", "thick.toml", "--out", "made")
    assert done.exit_code == 0, done.output
    emulator = find_emulator(str(tmp_path / "made"))
    assert emulator.card.recipe.components == COMPONENTS
    assert "thick_disc1" in emulator.card.purpose()
    assert set(emulator.card.ranges) == set(context_names(COMPONENTS))
    galaxy = make_mock(TRUTH, model=GalaxyModel(COMPONENTS, RECIPE.high, "point"), fibres=0, seed=1)
    problem = pose(galaxy, emulator=emulator)
    slope_of = jax.jit(jax.value_and_grad(problem.target.log_likelihood))
    for inclination in (0.8, np.pi / 2):
        theta = problem.target.prior.parameters.flatten(TRUTH | {"inclination": inclination})
        value, slope = slope_of(jnp.asarray(theta), problem.arrays)
        assert np.isfinite(value)
        assert np.isfinite(slope).all()
    with pytest.raises(InputError, match="emulator bicubic is made for bulge, thick_disc1, thick_disc2, halo"):
        pose(galaxy, emulator=emulator, parameters=default_parameters())


def test_an_emulator_of_razor_thin_discs_refuses_thick_ones():
    model = GalaxyModel(COMPONENTS, fidelity="point")
    galaxy = make_mock(TRUTH, model=model, fibres=0, seed=1)
    with pytest.raises(InputError, match="emulator bicubic is made for bulge, disc1, disc2, halo"):
        pose(galaxy, emulator="bicubic", parameters=default_parameters(COMPONENTS))


def test_a_recipe_without_one_of_the_components_is_refused():
    with pytest.raises(InputError, match="a model of disc1, halo lacks bulge, disc2"):
        Recipe(components=("disc1", "halo"))
