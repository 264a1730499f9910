"""A fit with an emulator, made exact: by weights where the emulator is good, by sampling on where it is not."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from galfit_sr.emulation.card import Card
from galfit_sr.emulation.emulator import Emulator, Estimate, Inputs
from galfit_sr.emulation.recipe import Recipe
from galfit_sr.errors import InputError
from galfit_sr.inference.checkpoint import Checkpoints
from galfit_sr.inference.correction import in_words
from galfit_sr.inference.diagnosis import uncertified
from galfit_sr.inference.fit import fit
from galfit_sr.inference.nested import Nested
from galfit_sr.inference.nuts import Nuts
from galfit_sr.inference.problem import CHUNK
from galfit_sr.inference.results import Posterior
from galfit_sr.maps import Maps
from galfit_sr.model.galaxy import GalaxyModel
from galfit_sr.model.grid import Canvas
from galfit_sr.model.scene import make_scene
from galfit_sr.observations.mock import MOCK_TRUTH, make_mock
from galfit_sr.parameters import default_parameters

RECIPE = Recipe(low=Canvas(8, 5.0), high=Canvas(16, 2.5), fidelity="point")
MODEL = GalaxyModel(canvas=RECIPE.high, fidelity="point")
OBSERVATION = make_mock(MOCK_TRUTH, model=MODEL, fibres=0, seed=3)
SETTINGS = Nested(nlive=150, walks=60)
# What pixels of 2.5 arcsec do not tell is fixed, its posterior would be known too badly to be compared; and the discs'
# own, to be quick.
PARAMETERS = default_parameters()
FREE = {"x0", "y0", "position_angle", "inclination", "log10_bulge_mass", "log10_disc2_mass", "ml_disc2", "k_disc2"}
for fixed in set(PARAMETERS.names) - FREE:
    PARAMETERS = PARAMETERS.replace(fixed, value=MOCK_TRUTH[fixed])


def wrong(weights, inputs: Inputs) -> Estimate:
    """The full-resolution model with velocities that are wrong by a factor."""
    scene, factor = weights
    maps = MODEL(inputs.values, scene).maps
    maps = maps._replace(velocity=factor * maps.velocity)
    return Estimate(maps, Maps(*(0.0 * m for m in maps)))


def emulator(factor: float, recipe: Recipe = RECIPE) -> Emulator:
    def weights(seen):
        psfs = seen.psf_photometry, seen.psf_kinematics
        return make_scene(RECIPE.high, seen.redshift, *psfs, fidelity="point"), factor

    return Emulator(Card(f"wrong by {factor}", "The model, nearly.", recipe), wrong, weights)


def fitted(**how) -> Posterior:
    return fit(OBSERVATION, sampler=SETTINGS, parameters=PARAMETERS, seed=1, **how)


@pytest.fixture(scope="module")
def full() -> Posterior:
    return fitted(model=MODEL)


@pytest.fixture(scope="module", params=[1.002, 1.3], ids=["good", "bad"])
def case(request, tmp_path_factory):
    """Factor, plain and corrected posterior, and the folder of the checkpoints that the second went on from."""
    folder = tmp_path_factory.mktemp("run")
    how = {"emulator": emulator(request.param), "out": folder}
    return request.param, fitted(**how), fitted(**how, model=MODEL, exact=True, resume=True), folder


def assert_same_means(one: Posterior, other: Posterior) -> None:
    mine, theirs = one.summary(), other.summary()
    sizes = 1 / one.effective_sample_size + 1 / other.effective_sample_size
    for name, row in theirs.items():
        # Walks leave samples alike: seeds scatter 1.3 times as much as their effective number says.
        allowed = 4 * 1.3 * np.sqrt(sizes) * max(row["std"], mine[name]["std"])
        assert abs(mine[name]["mean"] - row["mean"]) < allowed, name


@pytest.mark.slow
def test_corrected_posterior_is_that_of_the_model(full, case):
    factor, plain, corrected, _ = case
    error = np.hypot(full.log_evidence_error, corrected.log_evidence_error)
    assert abs(corrected.log_evidence - full.log_evidence) < 3 * error
    assert corrected.converged
    assert corrected.correction["certified"]
    assert corrected.correction["method"] == ("re-weighted" if factor < 1.1 else "re-partitioned")
    assert corrected.correction["emulated_log_evidence"] == plain.log_evidence
    assert corrected.predictor == f"{plain.emulator}, corrected"
    assert not uncertified(corrected)
    assert_same_means(corrected, full)


@pytest.mark.slow
def test_uncorrected_posterior_is_not(full, case):
    factor, plain, _, _ = case
    assert plain.correction is None
    assert plain.is_emulated
    off = abs(plain.log_evidence - full.log_evidence)
    error = np.hypot(full.log_evidence_error, plain.log_evidence_error)
    if factor > 1.1:
        assert off > max(10 * error, 1.0)
    else:
        assert off < 1.0


@pytest.mark.slow
def test_exact_likelihoods_and_time_are_counted(case):
    factor, plain, corrected, folder = case
    record = corrected.correction
    assert corrected.n_likelihood_calls == plain.n_likelihood_calls + record["exact_calls"]
    assert "exact likelihoods" in corrected.timings
    sampled_on = "exact nested sampling" in corrected.timings
    assert sampled_on == (factor > 1.1)
    assert Checkpoints(folder, "exact").sampler(0).exists() == sampled_on


@pytest.mark.slow
def test_correction_is_kept_with_the_posterior(case, tmp_path):
    corrected = case[2]
    corrected.save(tmp_path / "posterior.nc")
    stored = Posterior.load(tmp_path / "posterior.nc")
    assert stored.correction == corrected.correction
    assert json.dumps(stored.correction)
    np.testing.assert_array_equal(stored.log_weights, corrected.log_weights)


@pytest.mark.slow
def test_resumed_correction_is_the_same(case):
    factor, _, corrected, folder = case
    again = fitted(emulator=emulator(factor), out=folder, model=MODEL, exact=True, resume=True)
    np.testing.assert_allclose(again.samples, corrected.samples)
    assert again.log_evidence == corrected.log_evidence


@pytest.mark.slow
def test_with_a_hopeless_emulator_nothing_is_sampled(full, tmp_path):
    """Its first answer says so; the exact likelihood is sampled from there on."""
    how = {"emulator": emulator(1.3), "model": MODEL, "exact": True, "out": tmp_path}
    exact = fitted(**how)
    record = exact.correction
    assert record["method"] == "replaced"
    assert record["certified"]
    assert record["khat"] > record["most_khat"]
    assert record["emulated_log_evidence"] is None
    parts = ["first answer", "exact likelihoods", "exact first answer", "exact bending", "exact nested sampling"]
    assert list(exact.timings) == parts
    # The full resolution was looked at before: that counts, but not as a part of what followed.
    assert exact.n_likelihood_calls == record["emulated_calls"] + CHUNK + record["exact_calls"]
    assert "nothing was sampled with the emulator" in in_words(record)
    assert abs(exact.log_evidence - full.log_evidence) < 3 * np.hypot(full.log_evidence_error, exact.log_evidence_error)
    assert_same_means(exact, full)
    again = fitted(**how, resume=True)
    np.testing.assert_allclose(again.samples, exact.samples)


@pytest.mark.slow
def test_markov_chains_are_made_exact_too(full):
    chains = Nuts(warmup=200, effective_samples=300)
    exact = fit(
        OBSERVATION, sampler=chains, parameters=PARAMETERS, emulator=emulator(1.3), model=MODEL, exact=True, seed=1
    )
    assert exact.correction["method"] == "replaced"
    assert exact.correction["certified"]
    assert exact.log_evidence is None
    assert_same_means(exact, full)


def test_a_predictor_without_finite_maps_is_told():
    with pytest.raises(InputError, match="the likelihood is zero or not a number at all 1024 starts"):
        fitted(emulator=emulator(np.nan))


def test_nothing_to_correct():
    with pytest.raises(InputError, match="name the emulator"):
        fit(OBSERVATION, exact=True)


def test_what_is_exact_is_the_model_that_the_emulator_is_for(monkeypatch):
    """Thick discs, though nobody names them; a model without is refused."""
    components = ("bulge", "thick_disc1", "thick_disc2", "halo")
    thick = emulator(1.0, dataclasses.replace(RECIPE, components=components))

    class Begun(Exception):
        pass

    def begun(problem, *_, preview, **__):
        truth, _ = preview.args
        raise Begun(problem.target.prior, truth.target)

    monkeypatch.setattr("galfit_sr.inference.fit.sample", begun)
    with pytest.raises(Begun) as seen:
        fit(OBSERVATION, emulator=thick, exact=True)
    prior, target = seen.value.args
    assert target.prior == prior
    assert target.predictor == GalaxyModel(components, RECIPE.high)
    with pytest.raises(InputError, match=r"thick_disc1.* but the model is made for bulge, disc1, disc2, halo; give"):
        fit(OBSERVATION, emulator=thick, model=MODEL, exact=True)
