"""`galfit-sr dataset`: what it makes and says, and how it ends when it cannot go on."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from galfit_sr.emulation.manifest import read_manifest
from galfit_sr.emulation.store import open_store, read_pairs, verify

COMMAND = Path(sys.executable).with_name("galfit-sr")
SMALL = (
    'fidelity = "point"\nseed = 5\npsf_kinematics = { kind = "moffat", fwhm = 2.5, beta = 3.0 }\n'
    "low = { size = 4, pixel_scale = 10.0 }\nhigh = { size = 16, pixel_scale = 2.5 }\n"
)


@pytest.fixture
def dataset(run, tmp_path):
    """Run the command in a folder that holds a recipe of few pixels only."""
    (tmp_path / "small.toml").write_text(SMALL)
    return lambda *options: run("dataset", *options)


def test_help_shows_an_example(dataset):
    result = dataset("--help")
    assert result.exit_code == 0
    assert "galfit-sr dataset --n 1500000 --out pairs" in result.output


def test_a_store_is_made_once(dataset, tmp_path):
    options = ("--n", 30, "--config", "small.toml", "--out", "pairs", "--redshift", 0.02, 0.05, "--draws", "prior")
    result = dataset(*options)
    assert result.exit_code == 0, result.output
    assert "30 pairs (1 for validation), 30 of them made now" in result.stdout.splitlines()[-1]
    assert "training pairs, 100 %" in result.stderr
    recipe = verify(tmp_path / "pairs").plan.recipe
    assert (recipe.draws, recipe.seed, recipe.redshift, recipe.high.size) == ("prior", 5, (0.02, 0.05), 16)
    pairs = read_pairs(open_store(tmp_path / "pairs"), np.arange(30))
    assert pairs.high.velocity.shape == (30, 16, 16)
    again = dataset(*options, "--json")
    assert again.exit_code == 0, again.output
    (line,) = again.stdout.splitlines()
    printed = json.loads(line)
    size = sum(p.stat().st_size for p in (tmp_path / "pairs").rglob("*") if p.is_file() and "/c/" in str(p))
    assert printed == {
        "folder": "pairs",
        "pairs": 30,
        "validation": 1,
        "made": 0,
        "pairs_per_second": None,
        "bytes": size,
    }


def test_validation(dataset, tmp_path):
    assert dataset("--n", 30, "--validation", 7, "--config", "small.toml", "--out", "pairs").exit_code == 0
    assert len(read_manifest(tmp_path / "pairs").plan.split().validation) == 7


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--n", "1"], "the number of pairs is 1; at least 2 are needed"),
        (["--n", "-4"], "the number of pairs is -4; at least 2 are needed"),
        (["--validation", "30"], "30 of 30 pairs are for validation; 1 to 29 are allowed"),
        (["--redshift", "0.1", "0.01"], "redshifts reach from 0.1 to 0.01"),
        (["--redshift", "0", "0.01"], "redshifts reach from 0.0 to 0.01"),
        (["--config", "nosuch.toml"], "nosuch.toml does not exist; a file is needed"),
        (["--out", "small.toml"], "small.toml is a file; a folder for training pairs is needed"),
        (["--out", "."], "holds something that is not a store of training pairs; choose another folder"),
        (["--out", "small.toml/below"], "a writable folder is needed"),
        (["--n", "100000000000"], "GB free; make room, choose another folder or make fewer"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_options(dataset, tmp_path, options, sentence):
    given = {"--n": ["30"], "--config": ["small.toml"], "--out": ["pairs"]} | {options[0]: options[1:]}
    result = dataset(*(word for name, values in given.items() for word in (name, *values)))
    assert_refused(result, sentence, tmp_path)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("sead = 1", "unknown key in [recipe.toml]: 'sead'; did you mean 'seed'?"),
        ("draws = 'sobol'", "draws = 'sobol'; one of 'prior', 'latin-hypercube' is needed"),
        ("psf_photometry = 1.3", "psf_photometry = 1.3; a table is needed"),
        ("psf_photometry = { kind = 'gaussian', fwhm = 0.1 }", "too narrow"),
        ("high = { size = 50, pixel_scale = 0.8 }", "50 pixels are no whole multiple of 20"),
        ("seed = ", "not valid TOML"),
    ],
)
def test_bad_recipes(dataset, tmp_path, text, sentence):
    (tmp_path / "recipe.toml").write_text(text)
    result = dataset("--n", 30, "--out", "pairs", "--config", "recipe.toml")
    assert_refused(result, sentence, tmp_path, "recipe.toml")


def test_another_store_is_refused(dataset, tmp_path):
    options = ("--n", 30, "--config", "small.toml", "--out", "pairs")
    assert dataset(*options).exit_code == 0
    result = dataset(*options, "--seed", 6)
    assert_refused(result, "pairs holds other pairs, with other seed; choose another folder", tmp_path, "pairs")
    verify(tmp_path / "pairs")


def assert_refused(result, sentence, folder, *others):
    """Exit code 2, nothing on stdout, one line with `sentence` on stderr, and no new file."""
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert sentence in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert {p.name for p in folder.iterdir()} == {"small.toml", *others}


def start(folder, before=""):
    """The installed command in its own process, `before` having been done by the shell that becomes it."""
    options = ["dataset", "--n", "20000", "--config", "small.toml", "--out", "pairs"]
    (folder / "small.toml").write_text(SMALL)
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    return subprocess.Popen(
        ["sh", "-c", f'{before} exec "$0" "$@"', COMMAND, *options],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_interrupted_and_continued(tmp_path):
    process = start(tmp_path)
    assert "training pairs" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert out == ""
    again = "galfit-sr dataset --n 20000 --config small.toml --out pairs"
    assert err.splitlines()[-1] == f"galfit-sr: interrupted; continue with: {again}"
    made = verify(tmp_path / "pairs").pairs
    assert 512 <= made < 20000
    process = start(tmp_path)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert f"20000 pairs (200 for validation), {20000 - made} of them made now" in out
    assert verify(tmp_path / "pairs").pairs == 20000


@pytest.mark.slow
def test_full_disk(tmp_path):
    # A limit on the size of files fails in the same call, write(), as a disk that has no room left.
    process = start(tmp_path, before="ulimit -f 8;")
    out, err = process.communicate(timeout=300)
    assert process.returncode == 2, err
    assert out == ""
    assert "cannot write pairs" in err.splitlines()[-1]
    assert "the 0 pairs made so far stay, the same command goes on" in err.splitlines()[-1]
    assert "Traceback" not in err
