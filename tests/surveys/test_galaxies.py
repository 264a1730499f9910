"""Which galaxies, which models, which folders: everything of a survey that needs no worker."""

from __future__ import annotations

import dataclasses
import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from astropy.table import Table
from scipy.integrate import quad

import galfit_sr as gs
from galfit_sr.choices import Choice, PriorChoice
from galfit_sr.cli.survey import Variant
from galfit_sr.config import FitConfig, ModelConfig, ObservationConfig, dumps, loads
from galfit_sr.errors import InputError
from galfit_sr.model.bulge import Bulge
from galfit_sr.model.component import GRAVITATIONAL_CONSTANT
from galfit_sr.model.galaxy import GalaxyModel
from galfit_sr.model.scene import make_scene
from galfit_sr.observations.mock import MOCK_TRUTH
from galfit_sr.observations.quality import critical
from galfit_sr.parameters import Order, default_parameters
from galfit_sr.surveys.catalogue import catalogue, fits_bytes, models, write_catalogue
from galfit_sr.surveys.counts import Pace, counts
from galfit_sr.surveys.galaxies import Galaxy, from_files, from_list
from galfit_sr.surveys.outcome import DONE, Outcome, failure, read_outcome, write_outcome
from galfit_sr.surveys.plan import Plan, keep_plan, read_plan
from galfit_sr.surveys.quantities import enclosed, quantities
from galfit_sr.surveys.status_page import page
from galfit_sr.surveys.variants import VARIANTS, preferred, variant_config


class TestGalaxies:
    def test_names_are_those_of_files_and_differ(self):
        found = from_files(["a/x.fits", "b/x.fits.gz", "c/X.fits", "d/a b;<c>.fits", "e/...fits"])
        assert [galaxy.name for galaxy in found] == ["x", "x_2", "X_3", "a_b__c_", "galaxy"]
        assert found[0].file.endswith("/a/x.fits")

    def test_names_are_none_too_long_for_folders(self):
        found = from_files([f"a/{'é' * 120}.fits", f"b/{'é' * 120}.fits"])
        assert [galaxy.name for galaxy in found] == ["é" * 75, "é" * 75 + "_2"]

    def test_another_spelling_is_the_same_file(self, tmp_path):
        (tmp_path / "x.fits").touch()
        (tmp_path / "link.fits").symlink_to("x.fits")
        with pytest.raises(InputError, match=r"link\.fits is given twice"):
            from_files([tmp_path / "x.fits", tmp_path / "link.fits"])

    def test_list(self, tmp_path):
        path = tmp_path / "list.csv"
        path.write_text(
            'file, name,region,masses\nx.fits,first,"circle(3, -1.5, 2)",\n\nsub/x.fits,,mask.fits,m.fits\n'
        )
        assert from_list(path) == (
            Galaxy("first", str(tmp_path / "x.fits"), "circle(3, -1.5, 2)"),
            Galaxy("x", str(tmp_path / "sub/x.fits"), str(tmp_path / "mask.fits"), str(tmp_path / "m.fits")),
        )

    @pytest.mark.parametrize(
        ("text", "sentence"),
        [
            ("", "has the columns \\(none\\); a first line with file"),
            ("name\nx", "has the columns name"),
            ("file,regoin\nx,y", "did you mean 'region'"),
            ("file,name\n,x", "line 2: .*a file and at most 2 cells"),
            ("file\nx.fits,y", "line 2: .*a file and at most 1 cells"),
            ("file\n\n", "there is no galaxy"),
            ("file\nx.fits\nx.fits\n", "x.fits is given twice"),
        ],
    )
    def test_lists_that_are_not_understood(self, tmp_path, text, sentence):
        (tmp_path / "list.csv").write_text(text)
        with pytest.raises(InputError, match=sentence):
            from_list(tmp_path / "list.csv")

    def test_the_same_file_with_two_regions_is_two_galaxies(self, tmp_path):
        (tmp_path / "list.csv").write_text('file,region\nx.fits,"circle(0,0,1)"\nx.fits,"circle(0,0,2)"\n')
        assert [galaxy.name for galaxy in from_list(tmp_path / "list.csv")] == ["x", "x_2"]


class TestPlan:
    GALAXIES = (Galaxy("a", "/a.fits"), Galaxy("b", "/b.fits", "circle(0, 0, 1)", "/m.fits"))

    def test_galaxies_have_their_own_data_and_seeds(self):
        config = FitConfig(observation=ObservationConfig(region="circle(9, 9, 1)"), seed=4)
        plan = Plan(self.GALAXIES, config)
        first, second = (plan.configs(galaxy)[""] for galaxy in self.GALAXIES)
        assert (first.observation.file, first.observation.region) == ("/a.fits", "circle(9, 9, 1)")
        assert (second.observation.region, second.observation.masses) == ("circle(0, 0, 1)", "/m.fits")
        assert first.seed != second.seed
        assert Plan(self.GALAXIES[::-1], config).configs(self.GALAXIES[0])[""] == first
        assert (
            dataclasses.replace(plan, config=dataclasses.replace(config, seed=5)).configs(self.GALAXIES[0])[""] != first
        )

    def test_kept_and_read(self, tmp_path):
        config = FitConfig(
            model=ModelConfig(fidelity="point"), parameters={"inclination": Choice(PriorChoice("uniform", (0.2, 0.9)))}
        )
        plan = Plan(self.GALAXIES, config, ("discs", "bulge+disc"))
        keep_plan(tmp_path / "new", plan, False)
        assert read_plan(tmp_path / "new") == plan
        keep_plan(tmp_path / "new", plan, True)
        with pytest.raises(InputError, match="this very survey"):
            keep_plan(tmp_path / "new", plan, False)

    def test_limits_do_not_make_another_survey(self):
        plan, limited = (Plan(self.GALAXIES, FitConfig(sampler=gs.Nested(max_calls=n))) for n in (None, 100))
        assert plan.hash == limited.hash
        assert plan.hash != Plan(self.GALAXIES, FitConfig(sampler=gs.Nested(nlive=70))).hash

    def test_limits_hold_for_what_is_resumed(self, tmp_path):
        limited = Plan(self.GALAXIES, FitConfig(sampler=gs.Nested(max_calls=100, max_seconds=5.0)))
        keep_plan(tmp_path / "new", limited, False)
        assert read_plan(tmp_path / "new") == limited
        keep_plan(tmp_path / "new", Plan(self.GALAXIES, FitConfig()), True)

    def test_a_survey_keeps_the_version_that_fitted(self, tmp_path):
        keep_plan(tmp_path / "new", Plan(self.GALAXIES, FitConfig(), version="0.1"), False)
        held = read_plan(tmp_path / "new")
        assert set(catalogue(held, {})["version"]) == {"0.1"}
        with pytest.raises(InputError, match=r"other settings \(version\)"):
            keep_plan(tmp_path / "new", Plan(self.GALAXIES, FitConfig()), True)

    @pytest.mark.parametrize(
        ("arguments", "sentence"),
        [
            ({"variants": ("bulge+disk",)}, "unknown variant 'bulge\\+disk'; did you mean 'bulge\\+disc'"),
            ({"variants": ("discs", "discs")}, "each is needed once"),
            ({"variants": ("discs",), "config": FitConfig(sampler=gs.Nuts())}, "nuts gives no evidence"),
            ({"variants": ("discs",), "config": FitConfig(emulator="bicubic")}, "variants need the full resolution"),
            ({"config": FitConfig(emulator="bicubicc")}, "bicubicc"),
            ({"config": FitConfig(sampler="nested")}, "the sampler is 'nested'"),
        ],
    )
    def test_refused(self, arguments, sentence):
        with pytest.raises(InputError, match=sentence):
            Plan(**{"galaxies": self.GALAXIES, "config": FitConfig(), **arguments})

    @pytest.mark.parametrize("text", ["", "[]", "{}", '{"galaxies": [1], "config": "", "variants": []}'])
    def test_damaged_plans(self, tmp_path, text):
        (tmp_path / "survey.json").write_text(text)
        with pytest.raises(InputError, match=r"survey\.json"):
            read_plan(tmp_path)

    def test_outcomes_are_kept_as_they_are(self, tmp_path):
        outcome = Outcome("a", DONE, "", {"": {"log_evidence": 1.0, "log_evidence_error": None}}, (150.0, 2.0))
        write_outcome(tmp_path / "a.json", outcome)
        assert read_outcome(tmp_path / "a.json") == outcome
        assert read_outcome(tmp_path / "b.json") is None
        (tmp_path / "b.json").write_text("{}")
        with pytest.raises(InputError, match="remove it to fit the galaxy"):
            read_outcome(tmp_path / "b.json")


class TestVariants:
    @pytest.mark.parametrize("variant", VARIANTS)
    @pytest.mark.parametrize("halo", [True, False])
    def test_what_a_model_lacks_is_left_out(self, variant, halo):
        config = FitConfig(
            model=ModelConfig(("bulge", "disc1", "disc2", *(["halo"] if halo else []))),
            parameters={"bulge_slope": Choice(value=1.0), "k_disc2": Choice(tied="k_disc1"), "x0": Choice(value=0.0)},
            orders=(Order(("log10_bulge_radius", "log10_disc1_radius"), "log10_disc2_radius"),),
        )
        made = variant_config(config, variant)
        assert made.model.components == (*VARIANTS[variant], *(["halo"] if halo else []))
        assert loads(dumps(made)) == made, "nothing of it is unknown to the model"
        parameters = made.apply(default_parameters(made.model.components))
        assert ("bulge_slope" in parameters) == ("bulge" in variant)
        assert parameters["x0"].value == 0.0

    def test_the_command_knows_them_all(self):
        assert [str(variant) for variant in Variant] == list(VARIANTS)

    def test_preferred(self):
        assert preferred({"a": (None, None)}) is None
        assert preferred({"a": (3.0, 0.1)}) == ("a", None, None)
        best = preferred({"a": (3.0, 0.3), "b": (9.0, 0.4), "c": (4.0, 0.0)})
        assert best == ("b", 5.0, 0.4)
        assert best.decided
        assert not preferred({"a": (3.0, 1.5), "b": (6.0, 2.0)}).decided, "3 +- 2.5"
        assert not preferred({"a": (3.0, 0.0), "b": (3.9, 0.0)}).decided


class TestQuantities:
    @pytest.mark.parametrize("slope", [0.0, 1.0, 2.3])
    def test_bulge_within_circles(self, slope):
        values = {"log10_bulge_mass": 0.0, "log10_bulge_radius": 0.3, "bulge_slope": slope}
        values = {name: jnp.asarray(value) for name, value in values.items()}
        density = jax.jit(lambda r: Bulge().face_on_density(values, r))
        for radius in (0.3, 2.0, 15.0):
            # In the logarithm, from where a cusp holds less than the tolerance.
            mass = quad(lambda t: 2 * np.pi * np.exp(2 * t) * float(density(np.exp(t))), -20, np.log(radius))[0]
            assert float(enclosed("bulge", values, jnp.asarray([radius]))[0]) == pytest.approx(mass, rel=2e-4)

    def test_a_disc_alone(self):
        """Half of the light lies within 1.678 R_d."""
        model = GalaxyModel(("disc1",), gs.Canvas(8, 1.0))
        values = {"log10_disc1_mass": 10.5, "log10_disc1_radius": 0.4, "k_disc1": 0.8, "ml_disc1": 2.0}
        values = {name: jnp.asarray(value) for name, value in values.items()}
        found = quantities(model, values, make_scene(model.canvas, 0.03))
        assert 10 ** float(found["log10_effective_radius"]) == pytest.approx(1.6783 * 10**0.4, rel=1e-3)
        assert float(found["log10_mass_within_effective_radius"]) == pytest.approx(10.5 + np.log10(0.5), abs=1e-3)
        assert "log10_total_mass" not in found
        # Freeman (1970, ApJ 160, 811): 1.109 M (G M R_d)^(1/2) for a disc that turns with its circular velocity.
        momentum = 10 ** float(found["log10_specific_angular_momentum"])
        assert momentum == pytest.approx(0.8 * 1.109 * np.sqrt(GRAVITATIONAL_CONSTANT * 10 ** (10.5 + 0.4)), rel=1e-3)

    def test_masses_add_up(self):
        model = GalaxyModel()
        values = {name: jnp.asarray(value) for name, value in MOCK_TRUTH.items()}
        found = quantities(model, values, make_scene(model.canvas, 0.03))
        stars = sum(10 ** MOCK_TRUTH[f"log10_{name}_mass"] for name in ("bulge", "disc1", "disc2"))
        total = stars * (1 + 10 ** MOCK_TRUTH["log10_halo_fraction"])
        assert float(found["log10_total_mass"]) == pytest.approx(np.log10(total), abs=1e-6)
        assert float(found["log10_mass_within_effective_radius"]) < np.log10(stars)


def fitted(evidences):
    row = {"q16": 0.5, "q50": 0.6, "q84": 0.8, "unit": "rad"}
    return {
        variant: {
            "parameters": {"inclination": row, **({"ml_bulge": row} if "bulge" in variant else {})},
            "derived": {"inclination_deg": row, "log10_stellar_mass": row},
            "log_evidence": evidence,
            "log_evidence_error": 0.5,
            "reduced_chi2": {"velocity": 1.1},
            "converged": True,
            "effective_sample_size": 500.0,
            "warnings": ["It is <odd>.", "Twice."],
            "redshift": 0.03,
            "version": "0.1.0",
        }
        for variant, evidence in evidences.items()
    }


class TestTables:
    PLAN = Plan(
        tuple(Galaxy(name, f"/{name}.fits") for name in ("a", "b<", "c", "d")), FitConfig(), ("discs", "bulge+disc")
    )
    OUTCOMES = {
        "a": Outcome("a", DONE, "", fitted({"discs": -20.0, "bulge+disc": -10.0})),
        "b<": Outcome("b<", DONE, "", fitted({"discs": -9.9, "bulge+disc": -10.0})),
        "c": failure("c", "it is\nbroken & <b>worse</b>"),
    }

    def test_catalogue_of_several_models(self):
        table = catalogue(self.PLAN, self.OUTCOMES)
        assert list(table["status"]) == ["done", "done", "failed", "waiting"]
        assert list(table["preferred"]) == ["bulge+disc", "discs", "", ""]
        assert list(table["decided"]) == [True, False, False, False]
        assert list(table["preferred_by"][:2]) == pytest.approx([10.0, 0.1])
        assert table["preferred_by_error"][0] == pytest.approx(np.hypot(0.5, 0.5))
        assert list(table["log_evidence_discs"][:2]) == [-20.0, -9.9]
        assert list(table["log_evidence_bulge_disc"][:2]) == [-10.0, -10.0]
        assert np.isnan(table["ml_bulge"][1]), "the discs have no bulge"
        assert table["run"][0] == "galaxies/a/bulge+disc"
        assert table["warnings"][0] == "It is <odd>. | Twice."
        assert fits_bytes(table, "catalogue") == fits_bytes(table, "catalogue")

    def test_letters_that_fits_does_not_know(self, tmp_path):
        plan = Plan((Galaxy("é", "/José/é.fits"),), FitConfig())
        write_catalogue(tmp_path, plan, {"é": failure("é", "a file of “José”")})
        assert list(Table.read(tmp_path / "catalogue.ecsv")["file"]) == ["/José/é.fits"]
        held = Table.read(tmp_path / "catalogue.fits")
        assert (held["file"][0], held["name"][0]) == (r"/Jos\xe9/\xe9.fits", r"\xe9")
        assert held["file"].description == "data"

    def test_one_row_a_model(self):
        table = models(self.PLAN, self.OUTCOMES)
        assert list(table["name"]) == ["a", "a", "b<", "b<"]
        assert list(table["preferred"]) == [False, True, True, False]

    def test_page_while_it_goes_on(self, tmp_path):
        text = page(tmp_path, self.PLAN, self.OUTCOMES, {"d"}, "30 galaxies an hour", True)
        assert "2 done, 1 failed, 1 running, 0 waiting; 30 galaxies an hour" in text
        assert re.search(r"as of \d{4}-\d\d-\d\d \d\d:\d\d", text)
        assert "catalogue.fits" not in text, "there is none yet"
        assert 'http-equiv="refresh"' in text.partition("</head>")[0]
        assert "it is broken &amp; &lt;b&gt;worse&lt;/b&gt;" in text
        assert "<odd>" not in text
        assert "b%3C/discs/report.html" in text
        assert "not decided" in text
        assert "http:" not in text.replace("http-equiv", "")

    def test_counts_and_pace(self):
        count = counts(self.PLAN, self.OUTCOMES, {"d"})
        assert str(count) == "2 done, 1 failed, 1 running, 0 waiting"
        pace = Pace(3, 6, 1800.0)
        assert pace.throughput == "6 galaxies an hour"
        assert pace.remaining == "about 1 h 00 min left"
        assert pace.share == pytest.approx(1 / 3)
        assert Pace(0, 5, 100.0).throughput == Pace(0, 5, 100.0).remaining == ""


def test_critical_flags():
    notes = ["DAPQUAL bit 0: a star.", "DRP3QUAL bit 30: critical.", "DAPQUAL bit 28: critical.", "DRP3QUAL bit 3: so."]
    assert critical(notes) == notes[1:3]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "there is no galaxy in the survey"),
        (["--resume"], "survey holds no survey"),
        (["--collate", "nosuch"], "nosuch holds no survey"),
        (["x.fits", "--collate", "nosuch", "--workers", 2], "files and --workers beside --collate; it goes alone"),
        (["--list", "nosuch.csv"], "nosuch.csv does not exist"),
        (["x.fits", "--list", "list.csv"], "files and --list exclude each other"),
        (["x.fits", "--workers", 0], "workers is 0"),
        (["x.fits", "--workers", 2, "--scheduler", "tcp://a:1"], "workers and scheduler exclude each other"),
        (["x.fits", "--slurm", "nosuch.toml"], "nosuch.toml does not exist"),
        (["x.fits", "--time-limit", 0], "the time limit is 0"),
        (["x.fits", "x.fits"], "is given twice"),
        (["x.fits", "--sampler", "nuts", "--nlive", 100], "nlive is no setting of the sampler nuts"),
        (["x.fits", "--variant", "discs", "--sampler", "nuts"], "nuts gives no evidence"),
        (["x.fits", "--out", "list.csv"], "holds files that are not a survey"),
        (["x.fits", "nosuch.fits"], "nosuch.fits does not exist; a file is needed"),
        (["nosuch.csv"], "nosuch.csv does not exist; a list of galaxies is given with --list"),
        (["list.csv"], "list.csv is no file of maps; a list of galaxies is given with --list"),
    ],
)
def test_wrong_commands(run, tmp_path, arguments, sentence):
    (tmp_path / "list.csv").write_text("file\nx.fits\n")
    (tmp_path / "x.fits").touch()
    result = run("survey", *arguments)
    assert result.exit_code == 2
    assert sentence in result.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"list.csv", "x.fits"}


def test_summary_is_plain(tmp_path):
    plan = TestTables.PLAN
    keep_plan(tmp_path / "out", plan, False)
    from galfit_sr.surveys.survey import collate

    made = collate(tmp_path / "out")
    assert json.loads(json.dumps(made.summary()))["waiting"] == 4


def test_a_notebook_shows_how_far_a_survey_is(tmp_path):
    from galfit_sr.surveys.survey import Survey

    plan = TestTables.PLAN
    name = plan.galaxies[0].name
    broken = Outcome(name, "failed", "its <b>file</b> is truncated")
    card = Survey(tmp_path, plan, {name: broken})._repr_html_()
    for status, number in (("done", 0), ("failed", 1), ("running", 0), ("waiting", 3)):
        assert f"<td>{status}</td><td>{number}</td>" in card
    assert f"<code>{name}</code></td><td>its &lt;b&gt;file&lt;/b&gt; is truncated" in card
    assert str(tmp_path / "catalogue.fits") in card
    assert str(tmp_path / "index.html") in card
    many = Survey(tmp_path, plan, {f"galaxy {i}": dataclasses.replace(broken, name=f"galaxy {i}") for i in range(23)})
    assert many._repr_html_().count("is truncated") == 20
    assert "3 more failures are on the status page" in many._repr_html_()
