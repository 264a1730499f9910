"""Errors of an emulator, claimed and found, where a fit with it ended."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from galfit_sr.analysis.emulator_error import emulator_error
from galfit_sr.errors import InputError
from galfit_sr.inference.fit import pose
from galfit_sr.inference.problem import on_canvas, predict
from galfit_sr.maps import MAP_NAMES
from galfit_sr.model.galaxy import GalaxyModel
from galfit_sr.observations.mock import MOCK_TRUTH, make_mock
from galfit_sr.parameters import default_parameters

PARAMETERS = default_parameters()


@pytest.fixture(scope="module")
def galaxy():
    """In bins, so that the way back from bins to pixels is walked."""
    return make_mock(MOCK_TRUTH, model=GalaxyModel(fidelity="point"), seed=1, bins=True)


@pytest.fixture(scope="module")
def problem(galaxy):
    return pose(galaxy, parameters=PARAMETERS, emulator="bicubic")


def fitted(posterior, problem, best):
    """A posterior with the maps of a problem at `best`."""
    _, seen, _ = predict(problem.target, jnp.asarray(best), problem.arrays)
    return dataclasses.replace(
        posterior,
        parameters=PARAMETERS,
        samples=best + 0.01 * np.random.default_rng(1).normal(size=(len(posterior.samples), len(best))),
        best=best,
        binned_maps=on_canvas(seen, problem),
        emulator=None if problem.card is None else problem.card.name,
        truth={},
    )


@pytest.fixture(scope="module")
def fits(posterior, galaxy, problem):
    """A reference at full resolution, and a fit with the emulator that ended a little elsewhere."""
    full = pose(galaxy, parameters=PARAMETERS, model=GalaxyModel(fidelity="point"))
    truth = PARAMETERS.flatten(MOCK_TRUTH)
    return fitted(posterior, full, truth), fitted(posterior, problem, truth + 0.01)


def test_claimed_is_the_emulators_own_and_found_is_at_the_reference(fits, galaxy, problem):
    reference, emulated = fits
    found = emulator_error(emulated, reference, galaxy)
    prediction, _, _ = predict(problem.target, jnp.asarray(emulated.best), problem.arrays)
    _, at_reference, _ = predict(problem.target, jnp.asarray(reference.best), problem.arrays)
    expected = on_canvas(at_reference, problem)
    for i, name in enumerate(MAP_NAMES):
        good, error = galaxy.good[i], galaxy.errors[i]
        assert np.array_equal(np.isfinite(found.claimed[i]), good)
        difference = (expected[i] - reference.binned_maps[i]) / error
        np.testing.assert_allclose(found.found[i][good], difference[good], rtol=1e-12)
        assert np.abs(difference[good]).max() > 0.1
        if name in ("brightness", "ml"):
            own = np.sqrt(np.asarray(prediction.variance[i])) / error
            np.testing.assert_allclose(found.claimed[i][good], own[good], rtol=1e-12)
        else:
            # Fully correlated within a bin: the mean variance of its pixels.
            label = galaxy.bins[good][0]
            inside = galaxy.bins == label
            own = np.sqrt(np.mean(np.asarray(prediction.variance[i])[inside])) / error[inside][0]
            np.testing.assert_allclose(found.claimed[i][inside], own, rtol=1e-9)


def test_nothing_is_found_without_a_full_resolution(fits, galaxy):
    _, emulated = fits
    assert emulator_error(emulated, emulated, galaxy).found is None


def test_other_weights_under_the_same_name_are_noticed(fits, galaxy):
    reference, emulated = fits
    velocity = emulated.binned_maps.velocity + 0.5 * galaxy.errors.velocity
    changed = dataclasses.replace(emulated, binned_maps=emulated.binned_maps._replace(velocity=velocity))
    with pytest.raises(InputError, match="'bicubic' that is installed gives other maps"):
        emulator_error(changed, reference, galaxy)
