"""Emulators of other packages: found by their entry points, used like ours, harmless when broken."""

from __future__ import annotations

import importlib
import shutil
import sys

import pytest

from galfit_sr.emulation.registry import all_emulators, find_emulator, find_network, installed
from galfit_sr.errors import InputError
from galfit_sr.inference.fit import fit
from galfit_sr.inference.nested import Nested
from galfit_sr.model.galaxy import GalaxyModel
from galfit_sr.model.grid import Canvas
from galfit_sr.observations.mock import MOCK_TRUTH, make_mock

SOURCE = '''
"""Somebody's emulator: nearest neighbours."""
import jax.numpy as jnp
from galfit_sr.emulation.card import Card
from galfit_sr.emulation.emulator import Emulator, Estimate
from galfit_sr.emulation.recipe import Recipe
from galfit_sr.maps import Maps
from galfit_sr.model.grid import Canvas

RECIPE = Recipe(low=Canvas(8, 5.0), high=Canvas(16, 2.5), fidelity="point")


def nearest(weights, inputs):
    maps = Maps(*(jnp.kron(m, jnp.ones((2, 2), m.dtype)) for m in inputs.maps))
    return Estimate(maps, Maps(*(jnp.full_like(m, e) for m, e in zip(maps, weights))))


def load():
    ranges = {"cos_inclination": (0.9, 1.0), "bulge_slope": (0.0, 2.4)}
    return Emulator(Card("nearest", "Repeats every pixel.", RECIPE, ranges=ranges), nearest, (0.1, 20.0, 20.0, 0.5))


def broken():
    raise ValueError("these weights are of another year")


def wrong():
    return "not an emulator"
'''


@pytest.fixture
def third_party(tmp_path, monkeypatch):
    """A package installed by hand: a module, and the metadata that an installer would write beside it."""
    (tmp_path / "somebodys_emulators.py").write_text(SOURCE)
    metadata = tmp_path / "somebodys_emulators-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: somebodys-emulators\nVersion: 1.0\n")
    entries = [f"{name} = somebodys_emulators:{name}" for name in ("broken", "wrong")]
    (metadata / "entry_points.txt").write_text(
        "\n".join(["[galfit_sr.emulators]", "nearest = somebodys_emulators:load", *entries])
    )
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    yield
    sys.modules.pop("somebodys_emulators", None)
    shutil.rmtree(metadata)
    importlib.invalidate_caches()


def test_ours_come_through_the_same_door():
    ours = {"bicubic", "conditioned", "conditioned-thick", "fsrcnn", "isrcnn", "isrcnn-fast", "isrcnn-joint", "srcnn"}
    assert ours <= set(installed())


def test_an_emulator_of_another_package_fits_a_galaxy(third_party):
    galaxy = make_mock(MOCK_TRUTH, model=GalaxyModel(canvas=Canvas(16, 2.5), fidelity="point"), seed=1)
    quick = Nested(nlive=40, walks=10, walkers=8, start="prior", max_calls=30_000)
    posterior = fit(galaxy, emulator="nearest", sampler=quick)
    assert posterior.emulator == "nearest"
    # The mock is inclined by 46 degrees, which its card says it has not learnt.
    (warning,) = (w for w in posterior.warnings if "trained for" in w)
    assert "cos_inclination from 0.9 to 1" in warning


def test_a_broken_one_is_named_and_does_not_break_the_rest(third_party):
    with pytest.warns(RuntimeWarning) as caught:
        found = {emulator.card.name for emulator in all_emulators()}
    sentences = sorted(str(w.message) for w in caught)
    assert "nearest" in found
    assert "conditioned" in found
    assert "emulator 'broken' (somebodys_emulators:broken) cannot be loaded: ValueError: these weights" in sentences[0]
    assert "emulator 'wrong' (somebodys_emulators:wrong) gave 'not an emulator'" in sentences[1]


def test_asking_for_a_broken_one_says_why(third_party):
    with pytest.raises(InputError, match="these weights are of another year"):
        find_emulator("broken")


@pytest.mark.parametrize(("name", "near"), [("isrcn", "isrcnn"), ("conditoned", "conditioned")])
def test_an_unknown_one_is_answered_with_the_nearest(name, near):
    with pytest.raises(InputError, match=f"unknown emulator '{name}'; did you mean '{near}'"):
        find_emulator(name)


def test_what_is_no_name_is_refused():
    with pytest.raises(InputError, match="the emulator is 3; a name or an Emulator is needed"):
        find_emulator(3)


def test_a_network_is_found_with_its_recipe():
    network, recipe = find_network("isrcnn")
    assert hash(network) == hash(find_network("isrcnn")[0])
    assert "learning_rate" in recipe.read_text()


def test_what_has_no_network_cannot_be_trained():
    with pytest.raises(InputError, match="has no network that can be trained here"):
        find_network("conditioned")
