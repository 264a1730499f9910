"""The study of emulators: what is kept, what counts as the same posterior, what is refused."""

from __future__ import annotations

import dataclasses
import json
from types import SimpleNamespace

import numpy as np
import pytest

from galfit_sr.analysis import study as module
from galfit_sr.analysis.study import GALAXIES, mock, study
from galfit_sr.analysis.study_results import study_figure, study_text
from galfit_sr.emulation.card import Card
from galfit_sr.emulation.emulator import Emulator
from galfit_sr.emulation.recipe import Recipe
from galfit_sr.errors import InputError
from galfit_sr.inference.nested import Nested
from galfit_sr.parameters import COMPONENT_NAMES

THICK = ("bulge", "thick_disc1", "thick_disc2", "halo")
UNSEEN = SimpleNamespace(truth={"x0": 0.0})
"""In place of an observation, where nothing is fitted."""

RECORD = {
    "method": "re-weighted",
    "certified": True,
    "khat": 0.1,
    "most_khat": 0.67,
    "draws": 900,
    "effective": 700.0,
    "emulated_log_evidence": 950.0,
    "emulated_log_evidence_error": 0.3,
    "emulated_calls": 1000,
    "exact_calls": 900,
}


def silent(phrase, share, words):
    pass


@pytest.fixture
def fits(monkeypatch, posterior):
    """Fits that take no time: an emulator is off by half a standard deviation in one parameter, its correction is not;
    the list of what was asked for."""
    asked = []

    def fit(observation, *, emulator=None, exact=False, **how):
        name = emulator and emulator.card.name
        asked.append((name, exact, how.get("resume", False)))
        made = dataclasses.replace(posterior, emulator=name)
        if exact:
            return dataclasses.replace(made, correction=RECORD, timings={"first answer": 1.0, "exact likelihoods": 2.0})
        if emulator is not None:
            samples = posterior.samples.copy()
            column = samples[:, posterior.parameters.names.index("inclination")]
            column += 0.5 * np.sqrt(np.cov(column, aweights=posterior.weights))
            made = dataclasses.replace(made, samples=samples)
        return made

    monkeypatch.setattr(module, "fit", fit)
    monkeypatch.setattr(module, "mock", lambda name, components: UNSEEN)
    return asked


def made(folder, **how):
    return study(folder, ["bicubic"], galaxies=["typical", "low signal"], progress=silent, **how)


def test_rows_tell_a_posterior_that_is_off_from_one_that_is_not(fits, tmp_path, posterior):
    found = made(tmp_path / "study")
    for galaxy in ("typical", "low signal"):
        runs = found["galaxies"][galaxy]["runs"]
        assert list(runs) == ["bicubic", "bicubic, corrected"]
        plain, corrected = runs.values()
        assert plain["outside"] == ["inclination_deg"]
        assert plain["shifts"]["inclination_deg"][0] == pytest.approx(0.5, rel=0.01)
        assert corrected["outside"] == []
        assert max(abs(value) for value, _ in corrected["shifts"].values()) == pytest.approx(0, abs=1e-9)
        assert plain["seconds"] == posterior.wall_seconds
        assert corrected["seconds"] == posterior.wall_seconds + 2.0, "the run with the emulator, and the correction"
    assert found == json.loads((tmp_path / "study" / "study.json").read_text())
    table = study_text(found)
    assert "re-weighted" in table
    assert "low signal" in table
    assert "+0.50" in table
    shifts, _ = study_figure(found).axes
    assert sorted(shifts.lines[0].get_xdata())[-1] == pytest.approx(0.5, rel=0.01)


def test_what_was_fitted_is_not_fitted_again(fits, tmp_path):
    first = made(tmp_path / "study")
    assert fits == 2 * [(None, False, False), ("bicubic", False, False), ("bicubic", True, True)]
    (tmp_path / "study" / "low_signal" / "bicubic.nc").unlink()
    fits.clear()
    assert made(tmp_path / "study") == first
    assert fits == [("bicubic", False, False)]


def test_without_the_correction(fits, tmp_path):
    plain = made(tmp_path / "study", corrected=False)
    assert fits == 2 * [(None, False, False), ("bicubic", False, False)]
    assert "re-weighted" not in study_text(plain)
    assert study_figure(plain).axes[0].lines
    whole = made(tmp_path / "study")
    for name, galaxy in plain["galaxies"].items():
        assert galaxy["runs"] == {"bicubic": whole["galaxies"][name]["runs"]["bicubic"]}


def test_an_infinite_khat_is_kept_and_shown(fits, tmp_path, monkeypatch):
    monkeypatch.setitem(RECORD, "khat", np.inf)
    made(tmp_path / "study")
    kept = json.loads((tmp_path / "study" / "study.json").read_text())
    assert "infinite" in study_text(kept)


def emulator(name, components=COMPONENT_NAMES):
    return Emulator(Card(name, "Of a test.", Recipe(components=components)), len, ())


@pytest.mark.parametrize(
    ("components", "galaxies"),
    [
        (COMPONENT_NAMES, ["compact"]),
        (("bulge", "thick_disc1", "disc2", "halo"), ["compact"]),  # the razor-thin one ends at 60 degrees
        (THICK, ["compact", "edge-on"]),
    ],
)
def test_galaxies_have_the_discs_that_emulators_are_for(fits, tmp_path, monkeypatch, components, galaxies):
    made = []

    def mock(name, components):
        made.append((name, components))
        return UNSEEN

    monkeypatch.setattr(module, "mock", mock)
    monkeypatch.setattr(module, "GALAXIES", {name: GALAXIES[name] for name in ("compact", "edge-on")})
    found = study(tmp_path, [emulator("mine", components)], progress=silent)
    assert made == [(name, components) for name in galaxies]
    assert list(found["galaxies"]) == galaxies
    assert list(found["galaxies"]["compact"]["runs"]) == ["mine", "mine, corrected"]


@pytest.mark.parametrize(
    ("emulators", "sentence"),
    [
        ([], "an emulator at least"),
        ([emulator("mine"), emulator("mine")], "two emulators of the study are called 'mine'"),
        ([emulator("thin"), emulator("thick", THICK)], "thick for those of bulge, thick_disc1, thick_disc2, halo"),
    ],
)
def test_emulators_that_are_no_study_together(tmp_path, emulators, sentence):
    with pytest.raises(InputError, match=sentence):
        study(tmp_path, emulators, progress=silent)
    assert not list(tmp_path.iterdir())


def test_refusals(fits, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.tex").write_text("")
    with pytest.raises(InputError, match="not a study"):
        made(tmp_path / "thesis")
    made(tmp_path / "study")
    with pytest.raises(InputError, match="other settings"):
        made(tmp_path / "study", sampler=Nested(nlive=300))
    fits.clear()
    with pytest.raises(InputError, match="bicubicc"):
        study(tmp_path / "new", ["bicubicc"], progress=silent)
    with pytest.raises(InputError, match="unknown galaxy of the study 'compakt'; did you mean 'compact'"):
        study(tmp_path / "new", ["bicubic"], galaxies=["typical", "compakt"], progress=silent)
    with pytest.raises(InputError, match="unknown galaxy of the study 'edge-on'"):
        study(tmp_path / "new", ["bicubic"], galaxies=["edge-on"], progress=silent)
    assert not fits
    assert not (tmp_path / "new").exists()


def test_galaxies_are_what_they_are_called():
    assert len(GALAXIES) >= 8
    faint, bright = mock("low signal"), mock("high signal")
    ratio = np.median(faint.errors.velocity[faint.good.velocity]) / np.median(
        bright.errors.velocity[bright.good.velocity]
    )
    assert ratio == pytest.approx(6, rel=1e-3)
    truth = mock("bulge-dominated").truth
    discs = sum(10 ** truth[f"log10_disc{i}_mass"] for i in (1, 2))
    assert 10 ** truth["log10_bulge_mass"] > discs


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--study", "one", "two"), "leave out the run folders"),
        (("one", "two", "--emulator", "bicubic"), "--emulator is for a study"),
        (("one", "two", "--galaxy", "compact"), "--galaxy is for a study"),
        (("one", "two", "--uncorrected"), "--uncorrected is for a study"),
    ],
)
def test_command_with_arguments_that_do_not_go_together(run, arguments, sentence):
    result = run("compare", *arguments)
    assert result.exit_code == 2
    assert sentence in result.stderr


def test_command(fits, run, tmp_path):
    asked = ("--emulator", "bicubic", "--galaxy", "compact", "--uncorrected", "--out", "study", "--json")
    result = run("compare", "--study", *asked)
    assert result.exit_code == 0, result.output
    (line,) = result.stdout.splitlines()
    assert list(json.loads(line)["galaxies"]) == ["compact"]
    assert fits == [(None, False, False), ("bicubic", False, False)]
    assert {path.name for path in (tmp_path / "study").iterdir()} == {"compact", "study.json", "study.png", "study.txt"}
