"""The command line: exit codes, streams, what is written and, above all, what is not."""

import json
import os
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import jax
import numpy as np
import pytest
from astropy.io import fits

from galfit_sr.config import ModelConfig, load_config
from galfit_sr.observations import read
from galfit_sr.observations.mock import MOCK_THICKNESS, MOCK_TRUTH
from galfit_sr.parameters import default_parameters
from galfit_sr.priors import Prior

COMMAND = Path(sys.executable).with_name("galfit-sr")


def start(arguments, folder, before=""):
    """The installed command in its own process, `before` having been done by the shell that becomes it."""
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "COLUMNS": "200"}
    return subprocess.Popen(
        ["sh", "-c", f'{before} exec "$0" "$@"', COMMAND, *map(str, arguments)],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def assert_refused(result, sentence, folder, before=()):
    """Exit code 2, nothing on stdout, one line with `sentence` on stderr, and no new file."""
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert sentence in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert "Traceback" not in result.stderr
    assert {p.name for p in folder.iterdir()} == set(before)


def test_help_does_not_load_jax():
    code = (
        "import sys; from galfit_sr.cli.commands import app\n"
        "try: app(['fit', '--help'])\n"
        "except SystemExit as end: assert not end.code\n"
        "heavy = {'jax', 'numpy', 'astropy', 'matplotlib', 'numpyro'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", ["fit", "mock", "report", "compare", "benchmark", "emulators", "dataset", "train"])
def test_help_shows_an_example(run, command):
    result = run(command, "--help")
    assert result.exit_code == 0
    assert "Example" in result.output
    assert f"galfit-sr {command}" in result.output


def test_version(run):
    pyproject = Path(__file__).parents[1] / "pyproject.toml"
    expected = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]["version"]
    assert run("--version").stdout == f"galfit-sr {expected}\n"


def test_installed_command_refuses_a_missing_file(tmp_path):
    process = start(["fit", "nosuchfile.fits"], tmp_path)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert out == ""
    assert err == "galfit-sr: nosuchfile.fits does not exist; a file is needed\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is always full here")
@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["report", "--help"]], ids=" ".join)
def test_full_output_is_told(tmp_path, arguments):
    process = start(arguments, tmp_path, "exec > /dev/full;")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert err.startswith("galfit-sr: cannot write standard output: the disk (or your quota) is full; ")
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    "arguments",
    [["fit", "--sampler", "nest"], ["fit", "--nlive", "many"], ["fit", "--unknown"], ["fitt"], ["mock"]],
    ids=" ".join,
)
def test_wrong_usage_exits_with_2(run, arguments):
    result = run(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "Traceback" not in result.stderr


class TestRefusals:
    """Bad input of `fit`: one sentence, exit code 2, nothing written."""

    def test_folder_instead_of_file(self, run, tmp_path):
        (tmp_path / "galaxy.fits").mkdir()
        assert_refused(run("fit", "galaxy.fits"), "galaxy.fits is not a file", tmp_path, ["galaxy.fits"])

    def test_setting_of_another_sampler(self, run, tmp_path):
        result = run("fit", "--sampler", "nuts", "--nlive", "100")
        assert_refused(result, "nlive is no setting of the sampler nuts; leave it out", tmp_path, [])

    def test_not_fits(self, run, tmp_path):
        (tmp_path / "galaxy.fits").write_text("no galaxy\n")
        assert_refused(run("fit", "galaxy.fits"), "galaxy.fits", tmp_path, ["galaxy.fits"])

    def test_fits_without_maps(self, run, tmp_path):
        fits.PrimaryHDU(np.zeros((4, 4))).writeto(tmp_path / "galaxy.fits")
        assert_refused(run("fit", "galaxy.fits"), "neither a MaNGA MAPS file", tmp_path, ["galaxy.fits"])

    def test_missing_configuration(self, run, tmp_path):
        assert_refused(run("fit", "--config", "fit.toml"), "fit.toml does not exist", tmp_path)

    @pytest.mark.parametrize(
        ("text", "sentence"),
        [
            ("sead = 1", "unknown key or section 'sead'; did you mean 'seed'?"),
            ("[parameters]\nx0 = { prior = { uniform = [2, -2] } }", "prior.uniform = [2.0, -2.0]; the lower bound"),
            ("[observation]\nfile = 'nosuchfile.fits'", "nosuchfile.fits"),
            ("seed = ", "not valid TOML"),
        ],
        ids=["unknown key", "reversed bounds", "missing file", "not TOML"],
    )
    def test_bad_configuration(self, run, tmp_path, text, sentence):
        (tmp_path / "fit.toml").write_text(text)
        assert_refused(run("fit", "--config", "fit.toml"), sentence, tmp_path, ["fit.toml"])

    def test_missing_region(self, run, tmp_path):
        assert_refused(run("fit", "--region", "mask.fits"), "mask.fits", tmp_path)

    def test_bad_circle(self, run, tmp_path):
        assert_refused(run("fit", "--region", "circle(1, 2)"), "circle(x, y, r)", tmp_path)

    def test_resume_and_overwrite(self, run, tmp_path):
        assert_refused(run("fit", "--resume", "--overwrite"), "exclude each other", tmp_path)

    def test_nothing_to_resume(self, run, tmp_path):
        assert_refused(run("fit", "--resume"), "mock_galaxy_fit holds no run to resume", tmp_path)

    def test_out_is_a_file(self, run, tmp_path):
        (tmp_path / "taken").write_text("")
        assert_refused(run("fit", "--out", "taken"), "taken is a file", tmp_path, ["taken"])

    def test_folder_of_another_run(self, run, tmp_path):
        (tmp_path / "taken").mkdir()
        mark = tmp_path / "taken" / "run.json"
        mark.write_text(json.dumps({"fingerprint": "of another run", "galaxy": "M31"}))
        assert_refused(run("fit", "--out", "taken"), "taken holds another run (of M31)", tmp_path, ["taken"])
        assert list((tmp_path / "taken").iterdir()) == [mark]

    def test_emulator_folder_without_one(self, run, tmp_path):
        (tmp_path / "network").mkdir()
        result = run("fit", "--emulator", "./network")
        assert_refused(result, "holds no emulator: it has no card.json", tmp_path, ["network"])

    def test_components_that_are_none(self, run, tmp_path):
        assert_refused(run("fit", "--components", "bulge,disk1"), "did you mean 'disc1'", tmp_path)

    def test_components_that_the_emulator_is_not_for(self, run, tmp_path):
        result = run("fit", "--emulator", "conditioned-thick", "--components", "bulge, halo")
        assert_refused(result, "emulator conditioned-thick is made for bulge, thick_disc1", tmp_path)

    def test_folder_of_something_else(self, run, tmp_path):
        (tmp_path / "thesis").mkdir()
        (tmp_path / "thesis" / "chapter1.tex").write_text("")
        assert_refused(run("fit", "--out", "thesis"), "not a galfit_sr run", tmp_path, ["thesis"])


class TestMock:
    """`galfit-sr mock` writes observation files."""

    SMALL = ("mock", "--canvas", "20", "--fidelity", "point")

    def test_exact_maps_are_unmasked_and_double(self, run, tmp_path):
        result = run(*self.SMALL, "--noise", "0", "--fibres", "0", "--out", "exact.fits")
        assert result.exit_code == 0, result.output
        with fits.open(tmp_path / "exact.fits") as hdus:
            assert {hdus[name].header["BITPIX"] for name in ("BRIGHTNESS", "VELOCITY", "DISPERSION", "ML")} == {-64}
            assert hdus["VELOCITY"].shape == (20, 20)
        observation = read(tmp_path / "exact.fits")
        assert all(np.all(good) for good in observation.good)
        assert dict(observation.truth) == pytest.approx(dict(MOCK_TRUTH))
        assert observation.pixel_scale == 2.0

    def test_parameters_from_a_file(self, run, tmp_path):
        (tmp_path / "galaxy.toml").write_text("inclination = 0.5\nx0 = 1\nsystemic_velocity = 20\n")
        result = run(*self.SMALL, "--parameters", "galaxy.toml", "--out", "galaxy.fits", "--redshift", "0.05")
        assert result.exit_code == 0, result.output
        observation = read(tmp_path / "galaxy.fits")
        assert observation.redshift == 0.05
        assert observation.truth["inclination"] == 0.5
        assert observation.truth["x0"] == 1.0
        assert observation.truth["systemic_velocity"] == 20.0
        assert observation.truth["y0"] == MOCK_TRUTH["y0"]

    def test_parameters_from_a_pipe(self, run, tmp_path):
        end, other = os.pipe()
        os.write(other, b"inclination = 0.5")
        os.close(other)
        result = run(*self.SMALL, "--parameters", f"/dev/fd/{end}", "--out", "galaxy.fits")
        assert result.exit_code == 0, result.output
        assert read(tmp_path / "galaxy.fits").truth["inclination"] == 0.5

    def test_components(self, run, tmp_path):
        result = run(*self.SMALL, "--components", "disc1,halo", "--noise", "0", "--fibres", "0", "--out", "disc.fits")
        assert result.exit_code == 0, result.output
        words = "fit it with: galfit-sr fit disc.fits --components disc1,halo --config fit.toml, where fit.toml holds: "
        text = result.stdout.strip().partition(words)[2]
        (tmp_path / "fit.toml").write_text(text)
        assert load_config(tmp_path / "fit.toml").model == ModelConfig(fidelity="point"), result.stdout
        observation = read(tmp_path / "disc.fits")
        assert set(observation.truth) == set(default_parameters(("disc1", "halo")).names)
        # One disc has one mass-to-light ratio, whatever the PSF does to its light.
        np.testing.assert_allclose(observation.values.ml, MOCK_TRUTH["ml_disc1"], rtol=1e-9)

    def test_thick_discs_edge_on(self, run, tmp_path):
        (tmp_path / "galaxy.toml").write_text("inclination = 1.5707", encoding="utf-8")
        parts = ("--components", "thick_disc1,halo", "--parameters", "galaxy.toml")
        result = run(*self.SMALL, *parts, "--noise", "0", "--fibres", "0", "--out", "disc.fits")
        assert result.exit_code == 0, result.output
        observation = read(tmp_path / "disc.fits")
        assert observation.truth["thickness_disc1"] == MOCK_THICKNESS["thickness_disc1"]
        assert np.isfinite(observation.values.velocity).all()

    def test_bins(self, run, tmp_path):
        assert run(*self.SMALL, "--bins", "--out", "galaxy.fits").exit_code == 0
        bins = read(tmp_path / "galaxy.fits").bins
        assert bins is not None
        assert bins.max() > 0

    def test_correlated_noise(self, run, tmp_path):
        assert run(*self.SMALL, "--noise", "0", "--out", "exact.fits").exit_code == 0
        assert run(*self.SMALL, "--correlation", "10", "--out", "galaxy.fits").exit_code == 0
        exact, galaxy = (read(tmp_path / f"{name}.fits") for name in ("exact", "galaxy"))
        chi = (galaxy.values.velocity - exact.values.velocity) / galaxy.errors.velocity
        # 5 pixels: neighbours have a correlation of exp(-1 / (4 (5 / 2.35)^2)) = 0.95.
        assert np.std(chi[:, 1:] - chi[:, :-1]) < 0.6 * np.std(chi)

    def test_a_seed_repeats_itself(self, run, tmp_path):
        for name, seed in (("a", 3), ("b", 3), ("c", 4)):
            assert run(*self.SMALL, "--prior-draw", "--seed", seed, "--out", f"{name}.fits").exit_code == 0
        a, b, c = (read(tmp_path / f"{name}.fits") for name in "abc")
        np.testing.assert_array_equal(a.values.velocity, b.values.velocity)
        assert a.truth == b.truth
        assert a.truth["inclination"] != c.truth["inclination"]
        prior = Prior(default_parameters())
        assert np.isfinite(prior.log_density(jax.numpy.asarray(default_parameters().flatten(a.truth))))

    def test_folder_where_a_file_is_needed(self, run, tmp_path):
        (tmp_path / "taken").mkdir()
        assert_refused(run(*self.SMALL, "--out", "taken"), "it is a folder; the name of a file", tmp_path, ["taken"])

    def test_json_is_the_last_line(self, run):
        result = run(*self.SMALL, "--out", "galaxy.fits", "--json")
        assert json.loads(result.stdout.splitlines()[-1])["file"] == "galaxy.fits"

    @pytest.mark.parametrize(
        ("options", "sentence"),
        [
            (["--fibres", "20"], "20"),
            (["--fidelity", "pixels"], "fidelity is 'pixels'"),
            (["--redshift", "-1"], "redshift is -1"),
            (["--correlation", "-1"], "correlation is -1"),
            (["--components", "bulge,disk1"], "unknown component 'disk1'; did you mean 'disc1'?"),
            (["--parameters", "galaxy.toml"], "galaxy.toml does not exist"),
        ],
        ids=["fibres", "fidelity", "redshift", "correlation", "component", "no such file"],
    )
    def test_bad_options(self, run, tmp_path, options, sentence):
        assert_refused(run("mock", "--out", "x.fits", *options), sentence, tmp_path)

    @pytest.mark.parametrize(
        ("text", "sentence"),
        [
            ("inclinaton = 0.5", "g.toml: unknown parameter 'inclinaton'; did you mean 'inclination'"),
            ("inclination = 'flat'", "inclination = 'flat'; a number is needed"),
            ("inclination", "not valid TOML"),
        ],
        ids=["unknown", "no number", "not TOML"],
    )
    def test_bad_parameters(self, run, tmp_path, text, sentence):
        (tmp_path / "g.toml").write_text(text)
        assert_refused(run("mock", "--out", "x.fits", "--parameters", "g.toml"), sentence, tmp_path, ["g.toml"])

    def test_full_disk(self, tmp_path):
        # A limit on the size of files fails in the same call, write(), as a disk that has no room left.
        process = start([*self.SMALL, "--out", "x.fits"], tmp_path, before="ulimit -f 8;")
        out, err = process.communicate(timeout=120)
        assert process.returncode == 2, err
        assert out == ""
        assert "cannot write x.fits" in err.splitlines()[-1]
        assert "Traceback" not in err
        assert list(tmp_path.iterdir()) == []


class TestReport:
    """`galfit-sr report` on folders that hold no finished run."""

    def test_no_run(self, run, tmp_path):
        (tmp_path / "empty").mkdir()
        assert_refused(run("report", "empty"), "empty is not the folder of a run", tmp_path, ["empty"])

    def test_unfinished_run(self, run, tmp_path):
        (tmp_path / "begun").mkdir()
        (tmp_path / "begun" / "run.json").write_text(json.dumps({"fingerprint": "0"}))
        assert_refused(run("report", "begun"), "the run in begun is not finished", tmp_path, ["begun"])


# Few components, since each fit compiles its programs.
COMPONENTS = ("disc1", "halo")
FREE = ("position_angle", "inclination", "log10_disc1_mass", "k_disc1")
KNOWN = set(default_parameters(COMPONENTS).names) - set(FREE)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Folder with a galaxy and a configuration."""
    folder = tmp_path_factory.mktemp("fits")
    small = ["--canvas", "20", "--fidelity", "point", "--components", ",".join(COMPONENTS)]
    process = start(["mock", *small, "--seed", "5", "--out", "galaxy.fits"], folder)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    known = "\n".join(f"{n} = {{ value = {v} }}" for n, v in MOCK_TRUTH.items() if n in KNOWN)
    (folder / "fit.toml").write_text(
        f'seed = 1\norders = []\n[observation]\nfile = "galaxy.fits"\n[model]\nfidelity = "point"\n'
        f"components = {list(COMPONENTS)}\n[parameters]\n{known}\n[sampler]\nnlive = 100\n"
    )
    return folder


@pytest.fixture(scope="module")
def finished(prepared):
    """The same after a fit, with what the fit printed."""
    process = start(["fit", "--config", "fit.toml", "--out", "run", "--json"], prepared)
    out, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    return prepared, out, err


@pytest.mark.slow
class TestFit:
    """Whole fits, of a disc and a halo on 20x20 pixels, of which four parameters are unknown."""

    def test_json_line_is_the_summary(self, finished):
        folder, out, _ = finished
        (line,) = out.splitlines()
        printed = json.loads(line)
        stored = json.loads((folder / "run" / "summary.json").read_text())
        assert {k: v for k, v in printed.items() if k != "folder"} == stored
        assert tuple(printed["parameters"]) == FREE

    def test_run_folder_is_complete(self, finished):
        names = {p.name for p in (finished[0] / "run").iterdir()}
        assert names >= {"config.toml", "posterior.nc", "maps.fits", "summary.json", "report.html", "figures"}
        assert not [name for name in names if name.endswith(".part")]

    def test_progress_is_plain_lines_on_stderr(self, finished):
        err = finished[2]
        assert "report" in err.splitlines()[-1] or "report" in err
        assert "\x1b" not in err
        assert "Traceback" not in err

    def test_stored_configuration_repeats_the_run(self, finished):
        folder = finished[0]
        config = load_config(folder / "run" / "config.toml")
        assert config.seed == 1
        assert config.sampler.nlive == 100
        assert config.observation.file == str(folder / "galaxy.fits")
        parameters = default_parameters(COMPONENTS)
        assert set(config.parameters) == {p.name for p in parameters}
        assert config.apply(parameters).names == FREE

    def test_another_run_is_refused(self, finished, run):
        folder = finished[0] / "run"
        before = {p: p.read_bytes() for p in folder.iterdir() if p.is_file()}
        result = run("fit", "--config", finished[0] / "fit.toml", "--out", folder, "--seed", "2")
        assert result.exit_code == 2
        assert "holds another run (of galaxy), with other seed; choose another folder" in result.stderr
        assert {p: p.read_bytes() for p in folder.iterdir() if p.is_file()} == before

    def test_a_finished_run_is_not_done_again(self, finished, run):
        folder, out, _ = finished
        before = {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in (folder / "run").iterdir() if p.is_file()}
        # A limit belongs to the session, not to the run: the whole result stays.
        result = run("fit", "--config", folder / "fit.toml", "--out", folder / "run", "--max-calls", "2000", "--json")
        assert result.exit_code == 0, result.stderr
        assert json.loads(result.stdout)["log_evidence"] == json.loads(out)["log_evidence"]
        assert {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in before} == before

    def test_report_is_drawn_again(self, finished, run):
        folder = finished[0] / "run"
        (folder / "report.html").unlink()
        result = run("report", folder, "--json")
        assert result.exit_code == 0, result.output
        assert (folder / "report.html").is_file()
        assert json.loads(result.stdout)["report"] == str(folder / "report.html")

    def test_interrupted_run_can_be_resumed(self, prepared):
        process = start(["fit", "--config", "fit.toml", "--out", "stopped"], prepared)
        for line in process.stderr:
            if "sampling" in line:
                break
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120)
        assert process.returncode == 130, err
        assert out == ""
        assert err.splitlines()[-1] == ("galfit-sr: interrupted; continue with: galfit-sr fit --resume --out stopped")
        process = start(["fit", "--resume", "--out", "stopped"], prepared)
        out, err = process.communicate(timeout=600)
        assert process.returncode == 0, err
        assert "log evidence" in out
        # Repeated is the run, not its last session.
        began = "galfit-sr fit --config fit.toml --out stopped"
        assert json.loads((prepared / "stopped" / "run.json").read_text())["command"] == began
        assert began in (prepared / "stopped" / "report.html").read_text()

    def test_ctrl_c_while_compiling(self, prepared, tmp_path):
        """XLA compiles in threads of its own, which crashed the command as it ended."""
        cold = f"JAX_COMPILATION_CACHE_DIR={tmp_path}"
        process = start(["fit", "--config", "fit.toml", "--out", "cold"], prepared, before=cold)
        for line in process.stderr:
            if "compiling" in line:
                break
        time.sleep(0.7)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120)
        assert (process.returncode, out) == (130, ""), err
        assert err.splitlines()[-1].startswith("galfit-sr: interrupted; continue with: ")

    def test_limits_end_in_a_marked_result(self, prepared):
        process = start(["fit", "--config", "fit.toml", "--max-calls", "1200", "--json"], prepared)
        out, err = process.communicate(timeout=600)
        assert process.returncode == 0, err
        assert json.loads(out)["converged"] is False
        assert "warning: " in err
        # Without a name of its own, the folder has that of the configured galaxy.
        assert (prepared / "galaxy_fit" / "summary.json").is_file()
        again = start(["fit", "--config", "fit.toml"], prepared)
        out, err = again.communicate(timeout=600)
        assert again.returncode == 2
        assert "not finished; continue it with --resume or start over with --overwrite" in err
