"""The report: self-contained, escaped, complete, and readable without its figures."""

import dataclasses
import html
import re

import pytest
from html_page import Page, assert_self_contained

from galfit_sr.analysis.report import CAPTIONS, report_html

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
    assert rows["sampler: nlive"] == "200"
    assert rows["of which sampling"] == "55.0 s"
    assert rows["reduced χ², velocity"].startswith("0.980 (")


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
    assert 'name="viewport"' in text
