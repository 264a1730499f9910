"""The report: self-contained, escaped, complete, and readable without its figures."""

import dataclasses
import html
import re

import pytest
from html_page import Page, assert_self_contained

from galfit_sr.analysis.report import CAPTIONS, report_html
from galfit_sr.analysis.run_words import SAMPLER_WORDS, run_facts
from galfit_sr.inference.correction import Correction
from galfit_sr.inference.likelihood import LikelihoodSettings
from galfit_sr.inference.nested import Nested
from galfit_sr.inference.nss import Nss
from galfit_sr.inference.nuts import Nuts

PNG = b"\x89PNG\r\n\x1a\n not really"
CONFIG = 'seed = 7\n[observation]\nfile = "<script>alert(1)</script>.fits" # & more\n'
COMMAND = "galfit-sr fit 'a <b>.fits' --seed 7"


@pytest.fixture(scope="module")
def text(posterior, observation):
    figures = dict.fromkeys(CAPTIONS, PNG)
    return report_html(posterior, observation, figures, config_toml=CONFIG, command=COMMAND)


@pytest.fixture(scope="module")
def page(text):
    return Page(text)


def test_nothing_is_fetched(page, text):
    assert len(page.links) == len(CAPTIONS)
    assert_self_contained(page, text)


def test_texts_from_outside_are_escaped(page, text, posterior):
    assert "b" not in page.tags
    for outside in (posterior.galaxy, CONFIG, COMMAND, *posterior.warnings):
        assert outside in page.text
        assert html.escape(outside) in text


def test_warnings_come_before_everything(page, text, posterior):
    first_number = text.index('class="cards"')
    for warning in posterior.warnings:
        assert 0 < text.index(html.escape(warning)) < first_number


def test_no_warnings_are_said_to_be_none(posterior, observation):
    clean = Page(report_html(dataclasses.replace(posterior, warnings=()), observation, {}))
    assert "No warnings" in clean.text
    assert "Read this first" not in clean.text


def test_parameters_are_those_of_the_summary(page, posterior):
    for name, row in posterior.summary().items():
        cells = page.row(name)
        assert len(cells) == 7
        digits = len(cells[5].split(".")[1])
        assert cells[2].startswith(f"{row['q50']:.{digits}f}".replace("-", "\N{MINUS SIGN}"))
        assert cells[5] == f"{row['truth']:.{digits}f}".replace("-", "\N{MINUS SIGN}")
        pull = (row["truth"] - row["q50"]) / ((row["q84"] - row["q16"]) / 2)
        assert float(cells[6].replace("\N{MINUS SIGN}", "-")) == pytest.approx(pull, abs=0.0501)


def test_angles_are_in_degrees_north_through_east(page):
    cells = page.row("position_angle_deg")
    assert cells[1] == "°"
    assert "north through east" in cells[0]
    # 3.1 rad from +x, less the quarter turn to north.
    assert cells[5] == "87.6"
    assert abs(float(cells[6].replace("\N{MINUS SIGN}", "-"))) < 1
    assert page.row("inclination_deg")[5] == "45.8"


def test_truth_is_left_out_where_it_is_not_known(posterior, observation):
    real = Page(report_html(dataclasses.replace(posterior, truth={}), observation, {}))
    assert len(real.row("inclination_deg")) == 5
    assert "pull" not in real.text


def test_evidence_sampler_and_timing_are_there(page):
    rows = {row[0]: row[1] for row in page.rows if len(row) == 2}
    assert rows["log evidence (natural logarithm)"] == "951.25 ± 0.30"
    assert rows["likelihood evaluations"] == "123,456"
    assert rows["live points"] == "200"
    assert rows["of which sampling"] == "55.0 s"
    assert rows["reduced χ², velocity"].startswith("0.980 (")


def facts(posterior, observation, **changes):
    """Phrase -> value of all that is told of a run."""
    parts = run_facts(dataclasses.replace(posterior, **changes), observation)
    return {phrase: value for part in parts for phrase, value in part.rows}


def settings_of(sampler, **diagnostics):
    return {**dataclasses.asdict(sampler), **diagnostics}


LIKELIHOOD = {
    **dataclasses.asdict(LikelihoodSettings()),
    "weights": {"brightness": 1.0, "velocity": 1.0, "dispersion": 1.0, "ml": 1.0},
    "correlation": 0.0,
}
NESTED = settings_of(Nested(), acceptance=0.249, families=486.8, shrinkage_error=0.1142, uncovered=0.0)
NUTS = settings_of(Nuts(), rhat=1.004, effective=1203.0, divergences=0, acceptance=0.95, gradients_per_draw=15.2)
NSS = settings_of(Nss(), calls_per_point=210.4, uncovered=0.012, runs=2)


@pytest.mark.parametrize(("sampler", "settings"), [("nested", NESTED), ("nuts", NUTS), ("nss", NSS)])
def test_every_setting_and_diagnostic_has_its_phrase(posterior, observation, sampler, settings):
    assert settings.keys() <= SAMPLER_WORDS.keys()
    told = facts(posterior, observation, sampler=sampler, sampler_settings=settings, likelihood=LIKELIHOOD)
    for phrase, value in told.items():
        assert "_" not in phrase + value
        assert value not in ("none", "None", "nan", "")


def test_settings_that_did_not_matter_are_left_out(posterior, observation):
    plain = facts(posterior, observation, sampler_settings=NESTED, likelihood=LIKELIHOOD)
    assert not [phrase for phrase in plain if "effective samples to end" in phrase or "limit" in phrase]
    assert "emulator" not in str(plain)
    assert plain["errors"] == "Gaussian"
    assert plain["weights of the maps"] == "1 each"
    assert plain["noise of neighbouring pixels"] == "independent"
    settings = {**NESTED, "dynamic": True, "max_seconds": 600.0}
    likelihood = {**LIKELIHOOD, "kind": "student-t", "correlation": 2.5}
    other = facts(posterior, observation, sampler_settings=settings, likelihood=likelihood, emulator="conditioned")
    assert other["effective samples to end with"] == "4,000"
    assert other["limit on the time"] == "10 min 0 s"
    assert other["errors"] == "Student's t with 4 degrees of freedom"
    assert other["noise of neighbouring pixels"] == "correlated over 2.5 arcsec (FWHM)"
    assert other["the emulator's error added to that of the data"] == "yes"


def test_an_exact_fit_tells_of_its_correction(posterior, observation):
    correction = Correction("re-weighted", True, 0.31, 0.67, 926, 871.2, 940.2, 0.2, 100_000, 926)
    exact = {
        "emulator": "conditioned",
        "timings": {"bending": 3.0, "exact likelihoods": 2.0},
        "sampler_settings": NESTED,
        "likelihood": LIKELIHOOD,
    }
    told = facts(posterior, observation, correction=dataclasses.asdict(correction), **exact)
    assert told["how"] == "the emulator's samples were weighed anew"
    assert told["log evidence with the emulator"] == "940.20 ± 0.20"
    assert told["of which likelihoods at full resolution"] == "2.0 s"
    again = dataclasses.replace(correction, method="re-partitioned", certified=False, khat=float("inf"))
    exact["timings"] |= {"exact bending": 4.0}
    told = facts(posterior, observation, correction=dataclasses.asdict(again), **exact)
    assert told["certified"] == "no: see the warnings"
    assert told["k-hat, the tail index of the weights"].startswith("infinite")
    assert told["of which following the bends of the posterior, at full resolution"] == "4.0 s"
    assert "the emulator's error added to that of the data" not in told
    unsampled = dataclasses.replace(again, method="replaced", emulated_log_evidence=None)
    told = facts(posterior, observation, correction=dataclasses.asdict(unsampled), **exact)
    assert told["how"] == "sampled at full resolution, from the emulator's first answer on"
    assert "log evidence with the emulator" not in told


def test_a_narrow_page_stacks_the_tables_of_numbers(text, posterior):
    """Cells know the heads of their columns, which are not seen then."""
    tables = re.findall(r'<table class="stacks">.*?</table>', text, re.DOTALL)
    assert len(tables) == 2
    for head in ("unit", "median and 68 %", "5 to 95 %", "mean and s.d.", "truth", "pull"):
        assert tables[0].count(f'<td data-head="{head}">') == posterior.parameters.ndim
    assert "attr(data-head)" in text
    assert re.search(r"\.pairs th, \.pairs td \{[^}]*white-space: normal", text)


def test_several_runs_are_told(text, posterior, observation):
    assert "runs" not in text
    several = dataclasses.replace(posterior, sampler_settings={**posterior.sampler_settings, "runs": 3})
    assert "seed 7, in 3 runs, one for each part of the posterior; 123,456" in report_html(several, observation, {})


def test_figures_that_are_missing_leave_no_gap(posterior, observation):
    without = Page(report_html(posterior, observation, {"maps": PNG}))
    assert CAPTIONS["maps"][0] in without.headings
    assert CAPTIONS["corner"][0] not in without.headings
    assert len(without.links) == 1


def test_wide_things_scroll_in_their_own_box(text):
    """Every table, image and preformatted text sits in a box of its own that scrolls."""
    for wide in ("<table", "<img", "<pre"):
        for match in re.finditer(wide, text):
            assert re.search(r'<div class="box"[^>]*>$', text[: match.start()]), text[match.start() :][:80]
    assert re.search(r"\.box \{[^}]*overflow-x: auto", text)
    # What scrolls says so once, in the style sheet, which knows whether it does.
    assert not [caption for _, caption in CAPTIONS.values() if re.search("scroll|sideways", caption, re.IGNORECASE)]
    assert 'name="viewport"' in text
