"""What becomes of one galaxy in a worker, without Dask: errors, flags, limits."""

from __future__ import annotations

import json
import sys
import time
from multiprocessing import get_context
from pathlib import Path

import pytest

from galfit_sr.config import FitConfig
from galfit_sr.errors import InputError
from galfit_sr.surveys import worker
from galfit_sr.surveys.galaxies import Galaxy
from galfit_sr.surveys.outcome import DONE, FAILED, Outcome
from galfit_sr.surveys.plan import Plan, outcome_file
from galfit_sr.surveys.worker import Process, Task, memory, work

sys.path.append(str(Path(__file__).parents[1] / "observations"))
from synthetic_maps import synthetic_maps


def task(folder, file="none", seconds=None):
    galaxy = Galaxy("mock", str(file))
    return Task(galaxy, Plan((galaxy,), FitConfig()).configs(galaxy), folder, Process(None, 0, {}), seconds)


@pytest.fixture
def settled(monkeypatch):
    """This process stays as it is."""
    monkeypatch.setattr(worker, "_settle", lambda process: None)
    return monkeypatch


def raising(error):
    def fitted(task):
        raise error

    return fitted


def test_reasons_are_kept_in_a_line(settled, tmp_path):
    settled.setattr(worker, "_fitted", raising(InputError("it is\nwrong")))
    outcome = work(task(tmp_path))
    assert (outcome.status, outcome.reason) == (FAILED, "it is wrong")
    assert json.loads(outcome_file(tmp_path, "mock").read_text())["reason"] == "it is wrong"


def test_errors_of_any_kind_end_one_galaxy_only(settled, tmp_path):
    settled.setattr(worker, "_fitted", raising(ZeroDivisionError("by\nzero")))
    assert work(task(tmp_path)).reason == "ZeroDivisionError: by zero"
    trace = outcome_file(tmp_path, "mock").with_suffix(".txt").read_text()
    assert "in fitted" in trace


def test_what_is_finished_is_not_begun_again(settled, tmp_path):
    settled.setattr(worker, "_fitted", lambda task: Outcome("mock", DONE))
    first = work(task(tmp_path))
    settled.setattr(worker, "_fitted", raising(AssertionError))
    assert work(task(tmp_path)) == first


def test_critical_flags_are_a_reason(settled, tmp_path):
    hdus = synthetic_maps()
    hdus[0].header["DAPQUAL"] = 1 << 30
    hdus.writeto(tmp_path / "maps.fits")
    outcome = work(task(tmp_path, tmp_path / "maps.fits"))
    assert outcome.reason == "DAPQUAL bit 30: critical failure; do not use for science."
    assert not (tmp_path / "galaxies").exists()


def test_files_that_are_not_there(settled, tmp_path):
    assert work(task(tmp_path, tmp_path / "absent.fits")).reason.startswith("there is no file")


def hang(folder):
    """In a process of its own."""
    worker._settle = lambda process: None
    worker._fitted = lambda task: time.sleep(300)
    work(task(folder, seconds=0.2))


def test_time_limit_ends_the_process(settled, tmp_path):
    process = get_context("spawn").Process(target=hang, args=(tmp_path,))
    process.start()
    process.join(120)
    assert process.exitcode == 1
    settled.setattr(worker, "_fitted", raising(AssertionError))
    assert work(task(tmp_path)).reason == "the time limit of 0.2 s was reached", "also for whoever tries it again"


def test_a_galaxy_in_time_is_left_alone(settled, tmp_path):
    settled.setattr(worker, "_fitted", lambda task: Outcome("mock", DONE))
    assert work(task(tmp_path, seconds=0.2)).done
    time.sleep(0.4)
    assert json.loads(outcome_file(tmp_path, "mock").read_text())["status"] == DONE


def test_memory_is_that_of_this_process():
    assert 50 < memory() < 20_000
