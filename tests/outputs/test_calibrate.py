"""Calibrations: what mocks and fits they make, how they go on, what is kept, what is refused."""

from __future__ import annotations

import dataclasses
import json
import pickle
from functools import partial

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from galfit_sr import calibrate
from galfit_sr.analysis import calibrate as _  # noqa: F401 - loads the module of that name
from galfit_sr.analysis import trials
from galfit_sr.analysis.controls import BIAS, CONTROLS, UNDERSTATED, WIDENED, as_emulator, biased, mistold
from galfit_sr.analysis.trials import Setup, observe, trial
from galfit_sr.cli.calibrate import Control
from galfit_sr.errors import InputError
from galfit_sr.inference.fit import pose
from galfit_sr.inference.nested import Nested
from galfit_sr.maps import MAP_NAMES, TYPICAL_NOISE
from galfit_sr.observations.mock import MOCK_TRUTH
from galfit_sr.parameters import default_parameters
from galfit_sr.priors import Prior

QUICK = Nested(nlive=40, walks=10)
SETUP = Setup(default_parameters(), QUICK, None, 8, "point", None, seed=3)


def few_parameters():
    """Three of them, an angle among them; the others are fixed."""
    free = ("position_angle", "inclination", "ml_disc2")
    parameters = default_parameters()
    for name in parameters.names:
        parameters = parameters if name in free else parameters.replace(name, value=MOCK_TRUTH[name])
    return dataclasses.replace(parameters, orders=())


def test_truths_are_those_of_the_prior_and_noise_does_not_know_them():
    first, second = (observe(SETUP, index)[0] for index in range(2))
    assert first.fingerprint() == observe(SETUP, 0)[0].fingerprint() != second.fingerprint()
    assert first.truth != second.truth
    assert first.truth["systemic_velocity"] == 0
    for name, typical in TYPICAL_NOISE._asdict().items():
        assert np.all(getattr(first.errors, name) == typical)
        assert np.array_equal(getattr(first.good, name), getattr(second.good, name))


def test_truths_are_uniform_in_the_cube_of_the_prior_order_included():
    prior = Prior(SETUP.parameters)
    drawn = [prior.parameters.flatten(observe(SETUP, index)[0].truth) for index in range(100)]
    cube = np.asarray(prior.cube(jnp.asarray(drawn)))
    # 18 tests: one below 0.0005 in a hundred such tests.
    assert min(stats.kstest(column, "uniform").pvalue for column in cube.T) > 0.0005
    radii = {name: i for i, name in enumerate(prior.names) if name.endswith("radius")}
    larger = np.array(drawn)[:, radii["log10_disc2_radius"]]
    assert all(np.all(np.array(drawn)[:, i] <= larger) for i in radii.values())


def test_a_model_that_is_not_finite_is_no_reason_to_draw_again(monkeypatch):
    monkeypatch.setattr(trials, "make_mock", partial(trials.make_mock, noise=float("nan")))
    with pytest.raises(InputError, match="noise is nan"):
        observe(SETUP, 0)


def test_controls_tell_fits_something_wrong():
    observation = observe(SETUP, 0)[0]
    assert mistold(None, observation) is observation
    assert mistold("biased-emulator", observation) is observation
    understated = mistold("understated-errors", observation)
    for own, told in zip(observation.errors, understated.errors, strict=True):
        np.testing.assert_allclose(told, UNDERSTATED * own)
    blurred = mistold("wrong-psf", observation)
    assert blurred.psf_photometry.fwhm == WIDENED * observation.psf_photometry.fwhm
    assert blurred.psf_kinematics.fwhm == WIDENED * observation.psf_kinematics.fwhm
    assert [str(control) for control in Control] == list(CONTROLS)


def test_a_biased_emulator_is_off_by_what_it_says():
    setup = dataclasses.replace(SETUP, fidelity="pixel")
    observation = observe(setup, 0)[0]
    emulator = as_emulator(setup.model)
    exact, itself, off = (
        pose(observation, **predictor)
        for predictor in ({"model": setup.model}, {"emulator": emulator}, {"emulator": biased(emulator)})
    )
    theta = jnp.asarray(setup.parameters.flatten(observation.truth))
    maps, same, shifted = (problem.target.predict(theta, problem.arrays)[0] for problem in (exact, itself, off))
    for i, name in enumerate(MAP_NAMES):
        np.testing.assert_allclose(same.maps[i], maps.maps[i], rtol=1e-9, atol=1e-9, err_msg=name)
        np.testing.assert_allclose(shifted.maps[i] - maps.maps[i], BIAS * TYPICAL_NOISE[i], rtol=1e-6)
        assert not np.any(shifted.variance[i]), "it does not know of its bias"
    assert pickle.loads(pickle.dumps(partial(trial, setup))).args[0] == setup, "for other processes"


def test_a_calibration_of_real_fits(tmp_path):
    """Two mocks of three parameters; the same again from what was kept, and from nothing."""
    how = dict(sampler=QUICK, canvas=8, fidelity="point", parameters=few_parameters(), seed=2)
    made = calibrate(2, **how, out=tmp_path / "one")
    assert made.ranks.shape == (2, 3)
    assert np.all((made.ranks > 0) & (made.ranks < 1))
    for found in made.trials:
        assert found["converged"]
        for name, value in found["truth"].items():
            assert abs(value - found["mean"][name]) < 6 * found["std"][name]
    kept = json.loads((tmp_path / "one" / "calibration.json").read_text())
    assert kept == {**made.summary(), "trials": list(made.trials)}
    again = calibrate(2, **how)
    assert np.array_equal(again.ranks, made.ranks)
    assert len(list((tmp_path / "one" / "mocks").iterdir())) == 2


@pytest.fixture
def stub(monkeypatch):
    """Trials that take no time, of posteriors that are right unless there is a control; the indices asked for."""
    asked = []

    def made(setup, index):
        asked.append(index)
        names = setup.parameters.names
        z = np.random.default_rng((setup.seed, index)).standard_normal(len(names))
        found = stats.norm.cdf(z / (1.0 if setup.control is None else 0.7)).tolist()
        each = dict(zip(names, found, strict=True))
        return {
            "index": index,
            "ranks": each,
            "effective_samples": 400.0,
            "converged": index != 3,
            "seconds": 2.0,
            "likelihood_calls": 1000,
        }

    monkeypatch.setattr("galfit_sr.analysis.calibrate.trial", made)
    return asked


def test_goes_on_where_it_was_stopped(stub, tmp_path):
    def stop(phrase, share, words):
        if share > 0.4:
            raise KeyboardInterrupt

    folder = tmp_path / "calibration"
    with pytest.raises(KeyboardInterrupt):
        calibrate(6, out=folder, progress=stop)
    assert stub == [0, 1, 2]
    assert not (folder / "calibration.json").exists()
    made = calibrate(6, out=folder)
    assert stub == [0, 1, 2, 3, 4, 5]
    assert made.summary()["not_converged"] == 1
    assert np.array_equal(calibrate(6).ranks, made.ranks)
    stub.clear()
    longer = calibrate(8, out=folder)
    assert stub == [6, 7]
    assert np.array_equal(longer.ranks[:6], made.ranks)


@pytest.mark.parametrize(
    "other",
    [{"seed": 2}, {"sampler": Nested(nlive=50)}, {"canvas": 20}, {"control": "wrong-psf"}, {"fidelity": "point"}],
    ids=str,
)
def test_a_folder_of_other_settings_is_refused(stub, tmp_path, other):
    calibrate(2, out=tmp_path / "calibration")
    before = (tmp_path / "calibration" / "calibration.json").read_bytes()
    with pytest.raises(InputError, match=rf"calibration with other settings \({next(iter(other))}\)"):
        calibrate(2, out=tmp_path / "calibration", **other)
    assert (tmp_path / "calibration" / "calibration.json").read_bytes() == before
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.tex").write_text("")
    with pytest.raises(InputError, match="files that are not a calibration"):
        calibrate(2, out=tmp_path / "thesis", **other)


def test_the_verdict_is_in_everything_that_is_written(stub, tmp_path):
    right, wrong = (
        calibrate(64, out=tmp_path / "right"),
        calibrate(64, control="understated-errors", out=tmp_path / "w"),
    )
    assert right.passed
    assert not wrong.passed
    assert "PASSED" in (tmp_path / "right" / "calibration.txt").read_text()
    table = (tmp_path / "w" / "calibration.txt").read_text()
    assert "FAILED" in table
    assert "errors are too small" in table
    assert "this must fail" in table
    assert json.loads((tmp_path / "w" / "calibration.json").read_text())["passed"] is False
    assert (tmp_path / "w" / "calibration.png").stat().st_size > 10_000
    figure = wrong.plot()
    assert len(figure.axes) == 2 * 18 + 1
    line = figure.axes[1].lines[-1]
    places, ranks = line.get_xdata(), wrong.ranks[:, 0]
    np.testing.assert_allclose(line.get_ydata(), [np.mean(ranks <= p) - p for p in places])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"mocks": 0}, "mocks is 0; a whole number of at least 2"),
        ({"workers": 0}, "workers is 0; a whole number of at least 1"),
        ({"sampler": "nested"}, "the sampler is 'nested'"),
        ({"emulator": "bicubicc"}, "bicubicc"),
        ({"emulator": "bicubic", "canvas": 20}, "gives maps of 80x80 pixels and the canvas has 20; a canvas of 80"),
        ({"control": "wrong-pfs"}, "unknown control 'wrong-pfs'; did you mean 'wrong-psf'"),
        ({"canvas": 1}, "canvas is 1"),
        ({"fidelity": "pixels"}, "fidelity is 'pixels'"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_bad_input_leaves_nothing_behind(stub, tmp_path, arguments, sentence):
    with pytest.raises(InputError, match=sentence):
        calibrate(**{"mocks": 2, **arguments}, out=tmp_path / "calibration")
    assert not stub
    assert not (tmp_path / "calibration").exists()


def test_command(stub, run, tmp_path):
    result = run("calibrate", "--mocks", 32, "--canvas", 20, "--nlive", 100, "--seed", 1, "--json", "--out", "folder")
    assert result.exit_code == 0, result.stderr
    summary = json.loads(result.stdout)
    assert summary["passed"]
    assert summary["settings"]["sampler"]["nlive"] == 100
    assert set(summary["parameters"]) == set(default_parameters().names)
    result = run("calibrate", "--mocks", 32, "--control", "wrong-psf", "--out", "other")
    assert result.exit_code == 0, "a calibration that fails is a result"
    assert "FAILED with 32 mocks" in result.stdout
    result = run("calibrate", "--mocks", 2, "--canvas", 20, "--emulator", "conditioned", "--out", "third")
    assert result.exit_code == 2
    assert "a canvas of 80 is needed" in result.stderr
    result = run("calibrate", "--mocks", 2, "--sampler", "nuts", "--nlive", 100)
    assert result.exit_code == 2
    assert "nlive is no setting of the sampler nuts" in result.stderr
    result = run("calibrate", "--mocks", 2, "--canvas", 3, "--out", "coarse")
    assert result.exit_code == 2
    assert "greater than or equal to 8" in result.stderr or "x>=8" in result.stderr
    assert not (tmp_path / "coarse").exists()
