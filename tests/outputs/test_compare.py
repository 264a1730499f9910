"""Comparisons of fits: what is measured, what is refused, what is written."""

import dataclasses
import json
import math
import re
import shutil

import numpy as np
import numpyro.distributions as dist
import pytest
from html_page import Page, assert_self_contained

import galfit_sr as gs
from galfit_sr.analysis.comparison_folder import MARK, write_comparison
from galfit_sr.analysis.display import all_columns
from galfit_sr.analysis.run_folder import claim_folder, write_run
from galfit_sr.errors import InputError

STEP = 0.5
WIDTHS = {"position_angle": 0.08, "inclination": 0.02}


def moved(posterior, **steps):
    """The same posterior with some parameters moved, on the circle where they have one."""
    samples = posterior.samples.copy()
    for name, step in steps.items():
        column = samples[:, posterior.parameters.names.index(name)]
        column += step
        if posterior.parameters[name].circle is not None:
            low, period = posterior.parameters[name].circle
            column[:] = low + np.mod(column - low, period)
    return dataclasses.replace(posterior, samples=samples)


@pytest.fixture(scope="module")
def other(posterior):
    """Half a standard deviation away in two angles, by a sampler twice as fast."""
    near = moved(posterior, **{name: STEP * width for name, width in WIDTHS.items()})
    return dataclasses.replace(
        near, wall_seconds=posterior.wall_seconds / 2, log_evidence=950.25, log_evidence_error=0.4, warnings=("<i>hm",)
    )


@pytest.fixture(scope="module")
def comparison(posterior, other, observation):
    return gs.compare(posterior, other, observation=observation, labels=("slow & full", "fast"))


def rows(comparison):
    return {row.name: row for row in comparison.contrasts[0].rows}


def test_every_parameter_and_derived_quantity_is_compared_once(comparison, posterior):
    found = rows(comparison)
    assert list(found) == [column.name for column in all_columns(posterior)]
    assert sum(row.free for row in found.values()) == posterior.parameters.ndim
    assert comparison.contrasts[0].left_out == ()


@pytest.mark.parametrize("name", WIDTHS)
def test_known_step_is_found_also_across_the_end_of_the_circle(comparison, posterior, name):
    row = rows(comparison)[f"{name}_deg"]
    # The same samples moved as one: the shift is exact, in units of the width that they happen to have.
    width = math.radians(row.reference[1])
    assert row.measures["shift"].value == pytest.approx(STEP * WIDTHS[name] / width, rel=1e-9)
    assert row.measures["width_ratio"].value == pytest.approx(1, rel=1e-9)
    assert row.measures["wasserstein"].value == pytest.approx(row.measures["shift"].value, rel=1e-9)
    assert row.measures["shift"].significant
    if name == "position_angle":
        values = posterior.samples[:, posterior.parameters.names.index(name)]
        # Otherwise this says nothing about circles.
        assert values.min() < -3
        assert values.max() > 3


def test_what_did_not_move_is_not_marked(comparison):
    still = [row for name, row in rows(comparison).items() if name.removesuffix("_deg") not in WIDTHS]
    assert not any(measure.significant for row in still for measure in row.measures.values())


def test_shift_error_is_that_of_two_means(comparison, posterior):
    expected = math.sqrt(2 / posterior.effective_sample_size)
    errors = [row.measures["shift"].error for row in rows(comparison).values()]
    # 200 replicates know an error to 5 %. The fixture's volumes are made up, and change every replicate a little.
    assert np.median(errors) == pytest.approx(expected, rel=0.2)


def test_evidence_and_cost(comparison, posterior):
    contrast = comparison.contrasts[0]
    assert contrast.log_evidence_difference == pytest.approx(-1)
    assert contrast.log_evidence_difference_error == pytest.approx(0.5)
    run = comparison.summary()["runs"]["fast"]
    assert run["relative"]["wall_seconds"] == pytest.approx(0.5)
    assert run["relative"]["n_likelihood_calls"] == 1
    assert run["effective_samples_per_second"] == pytest.approx(posterior.effective_sample_size / run["wall_seconds"])


def test_no_evidence_is_no_difference(posterior, other):
    without = dataclasses.replace(other, log_evidence=None, log_evidence_error=None)
    comparison = gs.compare(posterior, without)
    assert comparison.contrasts[0].log_evidence_difference is None
    assert "not known" in str(comparison)


def test_what_only_one_has_is_left_out(posterior):
    parameters = posterior.parameters.replace("inclination", value=0.8)
    keep = [posterior.parameters.names.index(name) for name in parameters.names]
    fixed = dataclasses.replace(
        posterior, parameters=parameters, samples=posterior.samples[:, keep], best=posterior.best[keep]
    )
    comparison = gs.compare(posterior, fixed)
    assert comparison.contrasts[0].left_out == ("inclination_deg",)
    assert "inclination_deg" not in rows(comparison)
    assert "inclination_deg" in str(comparison).split("free in only one of the two:")[1]


def test_summary_is_plain_json(comparison):
    odd = dataclasses.replace(comparison.fits[1].posterior, reduced_chi2={"velocity": float("nan")})
    summary = gs.compare(comparison.fits[0].posterior, odd).summary()
    text = json.dumps(summary, allow_nan=False)
    assert json.loads(text) == summary
    assert summary["runs"]["full resolution 2"]["reduced_chi2"] == {"velocity": None}


def test_other_data_are_refused(posterior, other, observation):
    with pytest.raises(InputError, match="was fitted to other data than full resolution 1"):
        gs.compare(posterior, dataclasses.replace(other, data_fingerprint="0" * 64))
    elsewhere = dataclasses.replace(observation, redshift=0.04)
    with pytest.raises(InputError, match="not what the posteriors were fitted to"):
        gs.compare(posterior, other, observation=elsewhere)


def test_one_is_too_few(posterior):
    with pytest.raises(InputError, match="at least two"):
        gs.compare(posterior)


def test_too_few_samples_are_refused(posterior):
    few = np.full(len(posterior.samples), -np.inf)
    few[:3] = -np.log(3)
    with pytest.raises(InputError, match=r"is worth 3\.0 samples"):
        gs.compare(posterior, dataclasses.replace(posterior, log_weights=few))


def test_samplers_tell_posteriors_apart(posterior, other):
    chains = dataclasses.replace(other, sampler="nuts", chains=2, effective_samples=50.0, log_volume=None)
    compared = gs.compare(posterior, chains, posterior)
    assert [fit.label for fit in compared.fits] == [
        "full resolution, nested 1",
        "full resolution, nuts",
        "full resolution, nested 2",
    ]
    # What the chains are worth, not how long they are, gives the errors.
    row = next(row for row in compared.contrasts[0].rows if row.name == "inclination_deg")
    longer = gs.compare(posterior, dataclasses.replace(chains, effective_samples=5000.0)).contrasts[0]
    shorter = next(r for r in longer.rows if r.name == "inclination_deg")
    assert row.measures["shift"].error > 1.5 * shorter.measures["shift"].error


def test_the_same_priors_read_from_files_are_the_same(posterior, tmp_path):
    """NumPyro's distributions are equal only to themselves."""
    posterior.save(tmp_path / "posterior.nc")
    read = gs.Posterior.load(tmp_path / "posterior.nc")
    assert gs.compare(posterior, read).notes == ()


def test_what_fits_assumed_differently_is_said(posterior, other):
    assert gs.compare(posterior, other).notes == ()
    name = posterior.parameters.names[0]
    freer = posterior.parameters.replace(name, prior=dist.Uniform(-90.0, 90.0))
    (note,) = gs.compare(posterior, dataclasses.replace(other, parameters=freer)).notes
    assert f"assume other priors, or fixed values, of {name}:" in note
    smoothed = {**posterior.likelihood, "correlation": 1.6, "weights": {"brightness": 1.0, "velocity": 1.0}}
    (note,) = gs.compare(posterior, dataclasses.replace(other, likelihood=smoothed)).notes
    assert "correlation 1.6 instead of 0" in note
    assert "weights brightness 1, velocity 1 instead of brightness 1, velocity 0.5" in note
    # What an older version wrote does not say.
    assert gs.compare(posterior, dataclasses.replace(other, likelihood={})).notes == ()


def test_emulator_error_matters_between_emulated_fits_only(posterior, other):
    plain, aware = ({**posterior.likelihood, "emulator_error": used} for used in (False, True))
    full = dataclasses.replace(posterior, likelihood=aware)
    published = dataclasses.replace(other, likelihood=plain, emulator="nosuch", correction=None)
    assert gs.compare(full, published).notes == ()
    (note,) = gs.compare(
        published, dataclasses.replace(published, likelihood=aware), labels=["published", "aware"]
    ).notes
    assert "emulator_error yes instead of no" in note


@pytest.mark.parametrize("labels", [("a",), ("a", "a")])
def test_labels_tell_posteriors_apart(posterior, other, labels):
    with pytest.raises(InputError, match="needs one of its own"):
        gs.compare(posterior, other, labels=labels)


def test_overlay_draws_every_posterior_on_the_branch_of_the_first(comparison):
    figure = comparison.plot()
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["slow & full", "fast"]
    low, high = figure.axes[0].get_xlim()
    columns = all_columns(comparison.fits[0].posterior)
    angle = next(column for column in columns if column.name == "position_angle_deg")
    # Ten standard deviations hold both; the whole circle would mean that one was drawn on the other side.
    assert high - low < 10 * np.std(angle.values)
    assert low < np.mean(angle.values) < high


def test_emulator_that_is_not_there_is_said(posterior, other, observation):
    emulated = dataclasses.replace(other, emulator="nosuch")
    comparison = gs.compare(posterior, emulated, observation=observation)
    assert "The error maps of nosuch are left out: unknown emulator 'nosuch'" in comparison.notes[0]
    assert comparison.notes[0] in " ".join(str(comparison).split())
    assert comparison.emulator_errors == {}


@pytest.fixture(scope="module")
def written(tmp_path_factory, comparison):
    folder = tmp_path_factory.mktemp("comparisons") / "first"
    write_comparison(folder, comparison)
    return folder


def test_page_is_one_escaped_file(written, comparison):
    text = (written / "comparison.html").read_text(encoding="utf-8")
    page = Page(text)
    assert_self_contained(page, text)
    assert len(page.links) == len(list((written / "figures").glob("*.png"))) == 5
    assert not {"b", "i"} & set(page.tags)
    assert "fast: <i>hm" in page.text
    assert "fast against slow & full" in page.headings
    assert page.row("x0")[0].startswith("x0")
    assert page.row("inclination_deg")[3].endswith("*")
    assert not page.row("x0")[3].endswith("*")


def test_narrow_pages_stack_the_tables(written):
    """Cells know the heads of their columns, the names of runs among them."""
    text = (written / "comparison.html").read_text(encoding="utf-8")
    tables = re.findall(r"<table.*?</table>", text, re.DOTALL)
    assert tables
    for table in tables:
        assert table.startswith('<table class="stacks">')
        columns, rows = table.count("<th>"), table.count("<tr>") - 1
        assert table.count("<td data-head=") == rows * (columns - 1)
    assert '<td data-head="slow &amp; full">' in text


def test_files_hold_the_same(written, comparison):
    assert json.loads((written / MARK).read_text()) == comparison.summary()
    assert (written / "comparison.txt").read_text() == f"{comparison}\n"


def test_an_earlier_comparison_is_replaced(tmp_path, written, posterior, other):
    folder = tmp_path / "copy"
    shutil.copytree(written, folder)
    (folder / "notes.txt").write_text("mine")
    names = {path.stem for path in (folder / "figures").iterdir()}
    assert names == {"shifts", "corner_key", "corner", "residuals", "differences"}
    # Without the data there are no maps.
    write_comparison(folder, gs.compare(posterior, other))
    assert {path.stem for path in (folder / "figures").iterdir()} == names - {"residuals", "differences"}
    assert (folder / "notes.txt").read_text() == "mine"
    assert "fast" not in (folder / "comparison.txt").read_text()


@pytest.fixture(scope="module")
def runs(tmp_path_factory, posterior, other, observation, model):
    """Folder of two finished runs, one of other data, and one that is not finished."""
    folder = tmp_path_factory.mktemp("runs")
    write_run(folder / "full", posterior, observation, model)
    for name, changed in (("fast", other), ("elsewhere", dataclasses.replace(other, data_fingerprint="0" * 64))):
        shutil.copytree(folder / "full", folder / name)
        changed.save(folder / name / "posterior.nc")
    claim_folder(folder / "begun", "abc", resume=False)
    return folder


class TestCommand:
    """`galfit-sr compare` on two small run folders."""

    def test_two_runs(self, run, runs, tmp_path):
        result = run("compare", runs / "full", runs / "fast", "--json")
        assert result.exit_code == 0, result.output
        (line,) = result.stdout.splitlines()
        printed = json.loads(line)
        assert printed.pop("folder") == "comparison"
        assert printed == json.loads((tmp_path / "comparison" / MARK).read_text())
        assert printed["reference"] == "full"
        assert list(printed["contrasts"]) == ["fast"]
        assert {path.name for path in tmp_path.iterdir()} == {"comparison"}
        assert {path.name for path in (tmp_path / "comparison").iterdir()} == {
            *("comparison.json", "comparison.txt", "comparison.html", "figures")
        }

    @pytest.mark.parametrize(
        ("names", "sentence"),
        [
            (["full"], "1 run to compare; at least two run folders are needed"),
            (["full", "nosuch"], "nosuch is not the folder of a run"),
            (["full", "begun"], "begun is not finished"),
            (["full", "fast", "fast/../full"], "are the same run"),
            (["full", "elsewhere"], "only fits of the same data can be compared"),
        ],
        ids=["one", "missing", "unfinished", "twice", "other data"],
    )
    def test_refusals(self, run, runs, tmp_path, names, sentence):
        self.assert_refused(run("compare", *(runs / name for name in names)), sentence, tmp_path)

    def test_foreign_folder(self, run, runs, tmp_path):
        (tmp_path / "thesis").mkdir()
        (tmp_path / "thesis" / "chapter1.tex").write_text("")
        result = run("compare", runs / "full", runs / "fast", "--out", "thesis")
        self.assert_refused(result, "not a comparison", tmp_path, {"thesis"})
        # Nor into a run.
        result = run("compare", runs / "full", runs / "fast", "--out", runs / "fast")
        self.assert_refused(result, "not a comparison", tmp_path, {"thesis"})

    @staticmethod
    def assert_refused(result, sentence, folder, before=frozenset()):
        assert result.exit_code == 2, result.output
        assert result.stdout == ""
        assert sentence in result.stderr
        assert "Traceback" not in result.stderr
        assert {path.name for path in folder.iterdir()} == before
