"""A survey of real fits whose worker is killed: what is done, kept, shown, and done again."""

from __future__ import annotations

import json
import os
import shutil
import signal

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from filelock import FileLock

import galfit_sr as gs
from galfit_sr.config import dumps
from galfit_sr.errors import InputError
from galfit_sr.surveys.cluster import Local, client_of
from galfit_sr.surveys.plan import outcome_file
from galfit_sr.surveys.survey import collate

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
DONE = ["mock0", "mock1", "mock2", "mock3"]


class Killer:
    """Kills a worker as soon as a galaxy is done; it is told how far the survey is."""

    def __init__(self, folder):
        self.folder, self.killed, self.told = folder, None, []

    def __call__(self, phrase, share, words):
        self.told.append((share, words))
        for file in sorted((self.folder / "outcomes").glob("mock*.json")):
            if self.killed is None:
                self.killed = json.loads(file.read_text())["worker"]["process"]
                os.kill(self.killed, signal.SIGKILL)


@pytest.fixture(scope="module")
def scheduler():
    """Address of a scheduler with one worker; its programs serve all tests."""
    with client_of(Local(1)) as client:
        yield client.scheduler.address


@pytest.fixture(scope="module")
def finished(mocks, config, scheduler, tmp_path_factory):
    """Folder and result of a survey that has lost its worker."""
    folder = tmp_path_factory.mktemp("survey") / "out"
    killer = Killer(folder)
    made = gs.survey(sorted(mocks.glob("*.fits")), folder, config=config, scheduler=scheduler, progress=killer)
    assert killer.killed is not None
    assert killer.told[-1][0] == 1.0
    assert "4 done, 1 failed, 0 running, 0 waiting" in killer.told[-1][1]
    return folder, made


def test_every_galaxy_is_done_or_named(finished):
    folder, made = finished
    assert list(made.failures) == ["broken"]
    assert "is truncated" in made.failures["broken"]
    assert [name for name, outcome in sorted(made.outcomes.items()) if outcome.done] == DONE
    for name in DONE:
        assert (folder / "galaxies" / name / "report.html").is_file()
    assert not (folder / "galaxies" / "broken").exists()
    assert str(made) == "4 done, 1 failed, 0 running, 0 waiting"


def test_later_galaxies_of_a_worker_compile_nothing(finished):
    """The same model, on as many pixels: its programs are there, in each process from its first galaxy on."""
    made = finished[1]
    workers = {}
    for outcome in made.outcomes.values():
        if outcome.done:
            workers.setdefault(outcome.worker["process"], []).append(outcome.worker["compiled"])
    assert len(workers) == 2, "one was killed"
    assert all(compiled == 0 for each in workers.values() for compiled in sorted(each)[:-1])


def test_catalogue(finished):
    folder, made = finished
    table = Table.read(folder / "catalogue.fits")
    text = Table.read(folder / "catalogue.ecsv")
    assert table.colnames == text.colnames
    for name in table.colnames:
        assert text[name].description, name
        assert table[name].description == text[name].description
        assert table[name].unit == text[name].unit
    assert str(table["log10_stellar_mass"].unit) == "dex(solMass)"
    header = fits.getheader(folder / "catalogue.fits", 1)
    number = table.colnames.index("inclination_84") + 1
    assert header[f"TCOMM{number}"].endswith("84 % quantile")
    assert header[f"TUNIT{number}"] == "rad"
    rows = {row["name"]: row for row in text}
    assert list(rows) == ["broken", *DONE]
    assert rows["broken"]["status"] == "failed"
    assert np.isnan(rows["broken"]["inclination"])
    for i, name in enumerate(DONE):
        row = rows[name]
        summary = json.loads((folder / row["run"] / "summary.json").read_text())
        assert row["status"] == "done"
        assert row["ra"] == 150.0 + i
        for quantity, kind in (("inclination", "parameters"), ("bulge_fraction", "derived")):
            for ending, key in (("_16", "q16"), ("", "q50"), ("_84", "q84")):
                assert row[quantity + ending] == summary[kind][quantity][key]
        assert row["log_evidence"] == summary["log_evidence"]
        assert row["reduced_chi2_velocity"] == summary["reduced_chi2"]["velocity"]
        assert row["flags"] == len(summary["warnings"])
        assert row["configuration"] == made.plan.hash
        low, high = row["inclination_16"], row["inclination_84"]
        assert abs(row["inclination"] - (0.5 + 0.1 * i)) < 5 * (high - low) / 2, "the truth"
    assert len(set(text["log_evidence"][1:])) == len(DONE)


def test_page(finished):
    folder, _ = finished
    page = (folder / "index.html").read_text()
    assert "4 done, 1 failed, 0 running, 0 waiting" in page
    assert "is truncated" in page
    assert "http-equiv" not in page, "nothing changes any more"
    for name in DONE:
        assert f'href="galaxies/{name}/report.html"' in page
        assert f'src="thumbnails/{name}.png"' in page
        assert (folder / "thumbnails" / f"{name}.png").stat().st_size < 20_000


def test_the_same_catalogue_after_a_stop(finished, scheduler, tmp_path):
    """As if it had been stopped when two galaxies were done, and a third one fitted but not told yet."""
    folder, _ = finished
    again = tmp_path / "again"
    shutil.copytree(folder, again)
    before = {name: (again / name).read_bytes() for name in ("catalogue.ecsv", "catalogue.fits")}
    for name in before:
        (again / name).unlink()
    for name in DONE[2:]:
        outcome_file(again, name).unlink()
    shutil.rmtree(again / "galaxies" / DONE[3])
    kept = {name: outcome_file(again, name).stat().st_mtime_ns for name in DONE[:2]}
    report = (again / "galaxies" / DONE[2] / "report.html").stat().st_mtime_ns
    made = gs.survey(None, again, scheduler=scheduler, resume=True)
    assert {name: (again / name).read_bytes() for name in before} == before
    assert {name: outcome_file(again, name).stat().st_mtime_ns for name in kept} == kept, "not done twice"
    assert (again / "galaxies" / DONE[2] / "report.html").stat().st_mtime_ns == report, "nor the third"
    assert list(made.failures) == ["broken"]


def test_another_survey_is_refused(finished, config, mocks):
    folder, _ = finished
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    files = sorted(mocks.glob("*.fits"))
    for arguments, sentence in (
        ({"files": files, "config": config}, "holds this very survey; go on with --resume"),
        ({"files": files[1:], "config": config, "resume": True}, r"a survey with other settings \(galaxies\)"),
        ({"files": None, "sampler": gs.Nested(nlive=50), "resume": True}, r"other settings \(config\)"),
        ({"files": None, "variants": ["discs"], "resume": True}, r"other settings \(variants\)"),
    ):
        with pytest.raises(InputError, match=sentence):
            gs.survey(out=folder, **arguments)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_two_at_once_are_refused(finished, scheduler):
    folder, _ = finished
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.*") if path.name != ".lock"}
    with FileLock(folder / ".lock"), pytest.raises(InputError, match="another process fits the galaxies of"):
        gs.survey(None, folder, scheduler=scheduler, resume=True)
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_a_command_that_fits_nothing_fails(config, scheduler, tmp_path, run):
    (tmp_path / "text.fits").write_text("no galaxy")
    (tmp_path / "fit.toml").write_text(dumps(config))
    result = run("survey", "text.fits", "--config", "fit.toml", "--scheduler", scheduler, "--out", "out")
    assert result.exit_code == 1
    assert "text: " in result.stdout
    assert "1 failed" in (tmp_path / "out" / "index.html").read_text()


def test_collate(finished, tmp_path, run):
    folder, _ = finished
    again = tmp_path / "again"
    shutil.copytree(folder, again)
    for name in ("catalogue.fits", "catalogue.ecsv", "index.html"):
        (again / name).unlink()
    outcome_file(again, DONE[0]).unlink()
    result = run("survey", "--collate", again, "--json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["waiting"] == 1
    table = Table.read(again / "catalogue.ecsv")
    assert dict(zip(table["name"], table["status"], strict=True)) == {
        "broken": "failed",
        DONE[0]: "waiting",
        **dict.fromkeys(DONE[1:], "done"),
    }
    shutil.copy(outcome_file(folder, DONE[0]), outcome_file(again, DONE[0]))
    collate(again)
    for name in ("catalogue.fits", "catalogue.ecsv"):
        assert (again / name).read_bytes() == (folder / name).read_bytes()
