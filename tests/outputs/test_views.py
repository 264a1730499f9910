"""Objects in a notebook: valid HTML that fetches nothing, the numbers in it, and a figure for each."""

import dataclasses
import re
import sys
from pathlib import Path

import numpy as np
import numpyro.distributions as dist
import pytest
from html_page import Page, assert_self_contained

import galfit_sr as gs
from galfit_sr.analysis.calibrate import Calibration
from galfit_sr.analysis.trials import Setup
from galfit_sr.emulation.registry import find_emulator
from galfit_sr.errors import InputError
from galfit_sr.inference.answer import FirstAnswer
from galfit_sr.inference.calibration import judge
from galfit_sr.inference.derived import derived_summary
from galfit_sr.inference.fit import pose
from galfit_sr.terminal import print_result

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def answer(observation, posterior, parameters, model):
    return FirstAnswer(
        pose(observation, parameters=parameters, model=model),
        modes=(None,),
        values=posterior.best,
        errors=np.full(parameters.ndim, 0.05),
        reduced_chi2=posterior.reduced_chi2,
        maps=posterior.maps,
        binned_maps=posterior.binned_maps,
        warnings=("A <first> warning.",),
        calls=1234,
        seconds=3.5,
    )


@pytest.fixture(scope="module")
def calibration(parameters):
    setup = Setup(parameters, gs.Nested(nlive=40), None, 8, "point", None, 1)
    rng = np.random.default_rng(0)
    names = parameters.names
    trials = tuple(
        {
            "ranks": dict(zip(names, rng.uniform(size=len(names)), strict=True)),
            "effective_samples": 300.0,
            "converged": True,
            "seconds": 1.0,
            "likelihood_calls": 10,
        }
        for _ in range(40)
    )
    ranks = np.array([list(trial["ranks"].values()) for trial in trials])
    return Calibration(setup, trials, judge(names, ranks))


@pytest.fixture(scope="module")
def shown(observation, parameters, posterior, answer, calibration):
    fast = dataclasses.replace(posterior, wall_seconds=30.0, warnings=("<i>hm",))
    return {
        "observation": observation,
        "parameters": dataclasses.replace(
            parameters, items=(*parameters.items, gs.Parameter("added", "<b>", "", "an <i>outsider</i>", value=1.0))
        ),
        "first answer": answer,
        "posterior": posterior,
        "card": find_emulator("conditioned").card,
        "emulator": find_emulator("isrcnn-fast"),
        "comparison": gs.compare(posterior, fast, labels=("slow & full", "fast")),
        "calibration": calibration,
    }


DRAWN = ("observation", "first answer", "posterior", "card", "emulator", "comparison", "calibration")


@pytest.mark.parametrize("name", [*DRAWN, "parameters"])
def test_html_is_valid_and_fetches_nothing(shown, name):
    text = shown[name]._repr_html_()
    page = Page(text)
    assert_self_contained(page, text)
    assert "table" in page.tags
    assert {"b", "i"} & set(page.tags) == set()  # texts from outside are escaped


@pytest.mark.parametrize("name", DRAWN)
def test_plot_shows_itself_without_pyplot(shown, name):
    figure = shown[name].plot()
    assert figure._repr_png_().startswith(PNG)
    labels = [text for axis in figure.axes for text in (axis.get_xlabel(), axis.get_ylabel(), axis.get_title()) if text]
    assert labels


def test_observation_counts_bins_once(observation):
    page = Page(observation._repr_html_())
    row = page.row("Velocity")
    assert row[1] == f"{len(np.unique(observation.bins[observation.bins >= 0])):,} bins"
    assert row[3:] == ["4.0", "km/s"]
    assert observation.notes[0] in page.text


def test_parameters_show_priors_and_what_is_not_free(parameters):
    chosen = parameters.replace("inclination", prior=dist.TruncatedNormal(0.8, 0.1, low=0.5, high=1.0))
    chosen = chosen.replace("y0", tied="x0").replace("ml_disc1", prior=dist.Gamma(2.0, 1.0))
    page = Page(chosen._repr_html_())
    assert page.row("x0")[1:] == ["centre, along columns", "uniform: from -2 to 2", "kpc"]
    assert page.row("y0")[2] == "the same as x0"
    assert page.row("inclination")[2:] == ["truncated normal: mean 0.8, sd 0.1, from 0.5 to 1", "rad"]
    assert page.row("ml_disc1")[2] == "Gamma"
    assert page.row("systemic_velocity")[2:] == ["fixed at 0", "km/s"]
    assert "13 free, 2 fixed or tied" in page.text
    assert "log10_bulge_radius < log10_disc1_radius" in page.text


def test_posterior_shows_summary_and_warnings_first(posterior):
    page = Page(posterior._repr_html_())
    row = page.row("inclination_deg")
    assert row[-1] == "°"
    assert row[4] == f"{np.degrees(0.8):.1f}"
    assert page.row("position_angle_deg")[4] == f"{np.degrees(3.1) - 90:.1f}"
    assert not {"position_angle", "inclination", "rad"} & {cell for row in page.rows for cell in row}
    assert all(page.text.index(warning) < page.text.index("median") for warning in posterior.warnings)
    assert "951.25 ± 0.30" in page.text


def test_first_answer_shows_angles_as_its_posterior_does(answer):
    page = Page(answer._repr_html_())
    assert page.row("position_angle_deg")[1:] == [f"{np.degrees(3.1) - 90:.1f} ± {np.degrees(0.05):.1f}", "°"]
    assert page.row("inclination_deg")[1:] == [f"{np.degrees(0.8):.1f} ± {np.degrees(0.05):.1f}", "°"]
    assert "rad" not in {cell for row in page.rows for cell in row}


def test_posterior_with_its_data_draws_maps(posterior, observation):
    panels = [axis for axis in posterior.plot(observation).axes if axis.images]
    left, right = panels[0].get_xlim()
    assert left > right, "east is to the left"
    other = dataclasses.replace(observation, redshift=0.05)
    with pytest.raises(InputError, match="not what the posterior was fitted to"):
        posterior.plot(other)


@pytest.mark.parametrize("free", [("x0",), ("x0", "y0")])
def test_few_parameters_are_drawn_too(posterior, parameters, free):
    for name in set(parameters.names) - set(free):
        parameters = parameters.replace(name, value=posterior.truth[name])
    kept = [posterior.parameters.names.index(name) for name in free]
    few = dataclasses.replace(
        posterior,
        parameters=gs.Parameters(parameters.items),
        samples=posterior.samples[:, kept],
        best=posterior.best[kept],
    )
    shown = [axis.get_xlabel() for axis in few.plot().axes if axis.get_xlabel()]
    assert len(shown) == len(free)


def test_observation_figure_has_units_and_sky(observation):
    figure = observation.plot()
    panels = [axis for axis in figure.axes if len(axis.images) and axis.get_subplotspec() is not None]
    assert [axis.get_title() for axis in panels[:3]] == ["Surface brightness", "Velocity", "Velocity dispersion"]
    for axis in panels:
        assert axis.get_xlim()[0] > axis.get_xlim()[1]
        assert axis.get_ylim()[0] < axis.get_ylim()[1]
    colours = [axis.get_xlabel() for axis in figure.axes if "error" in axis.get_xlabel()]
    assert colours == ["error [dex]", "error [km/s]", "error [km/s]"]


def test_pyplot_was_not_needed(shown):
    shown["observation"].plot()
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or pyplot.get_fignums() == []


def test_a_narrow_terminal_shows_whole_numbers_and_angles_in_degrees(posterior, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "40")
    print_result(posterior, Path("run"))
    text = capsys.readouterr().out
    assert "…" not in text
    summary = posterior.summary()
    for name, row in {**derived_summary(posterior), **summary}.items():
        assert (re.search(rf"{name} +│ +{row['q50']:.3f} ", text) is not None) == (name in summary), name


def test_the_terminals_errors_are_the_short_way_round(posterior, capsys):
    column = posterior.parameters.names.index("position_angle")
    samples = posterior.samples.copy()
    samples[:, column] += np.pi / 2 - 3.1  # around north, where position angles begin anew
    print_result(dataclasses.replace(posterior, samples=samples), Path("run"))
    row = next(line for line in capsys.readouterr().out.splitlines() if "position_angle_deg" in line)
    down, up = (float(cell) for cell in row.split("│")[3:5])
    assert 3 < down < 6
    assert 3 < up < 6
