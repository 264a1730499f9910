"""`galfit-sr emulators` and `galfit-sr fit --emulator`: what they list, and what they refuse."""

import json

import pytest

from galfit_sr.analysis import benchmark
from galfit_sr.analysis.predictors import compare_predictors, predictors_as_text
from galfit_sr.config import dumps, loads
from galfit_sr.emulation.registry import find_emulator


@pytest.fixture(scope="module")
def rows():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(benchmark, "_LEAST_SECONDS", 0.0)
        return compare_predictors((find_emulator("bicubic"),))


@pytest.mark.slow
def test_every_predictor_is_timed_and_shows_its_error(rows):
    names = [row["predictor"] for row in rows]
    assert names == ["full resolution, point", "full resolution, pixel", "bicubic"]
    assert all(row["single_ms"] > 0 and row["batched_ms"] > 0 and row["gradient_ms"] > 0 for row in rows)
    text = predictors_as_text(rows)
    for row in rows:
        (line,) = (line for line in text.splitlines() if f" {row['predictor']} " in line)
        assert f"{row['single_ms']:.2f}" in line
        if row["held_out"] is not None:
            assert f"{row['held_out']['inside']['noise']['whole']['median']:.3g} / " in line


@pytest.mark.slow
def test_rows_are_ready_for_json(rows):
    assert json.loads(json.dumps(rows)) == rows


def test_the_goal_of_the_project_holds_for_the_shipped_card():
    held_out = find_emulator("conditioned").card.held_out["inside"]
    assert held_out["not_finite"] == 0
    assert held_out["noise"]["whole"]["median"] < 0.05


def test_unknown_emulator(run, tmp_path):
    result = run("fit", "--emulator", "isrcn")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr == "galfit-sr: unknown emulator 'isrcn'; did you mean 'isrcnn'?\n"
    assert list(tmp_path.iterdir()) == []


def test_emulator_for_other_pixels(run, tmp_path):
    assert run("mock", "--canvas", "20", "--fidelity", "point", "--out", "small.fits").exit_code == 0
    result = run("fit", "small.fits", "--emulator", "conditioned")
    assert result.exit_code == 2
    assert "gives maps of 80 pixels along a side; small has 20" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["small.fits"]


def test_folder_without_a_bundle(run, tmp_path):
    result = run("fit", "--emulator", str(tmp_path))
    assert result.exit_code == 2
    assert "holds no emulator: it has no card.json" in result.stderr


def test_unknown_name_for_its_card(run):
    result = run("emulators", "srcn")
    assert result.exit_code == 2
    assert "did you mean 'srcnn'?" in result.stderr


def test_configuration_keeps_the_emulator():
    config = loads('emulator = "isrcnn"\n[likelihood]\nemulator_error = false\n')
    assert config.emulator == "isrcnn"
    assert config.likelihood.emulator_error is False
    assert loads(dumps(config)) == config


def test_emulators_are_listed_before_their_speeds_are_measured(run, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("galfit_sr.analysis.predictors.compare_predictors", interrupted)
    result = run("emulators", "bicubic")
    assert result.exit_code == 130
    card = find_emulator("bicubic").card
    assert result.stdout.startswith(f"bicubic: {card.description}\n  made for {card.purpose()}\n")
    assert json.loads(result.stdout.partition(card.purpose())[2]) == json.loads(card.to_json())
