"""Every command, configuration and snippet of README and documentation works.

Python runs as it is printed, a page at a time, with two things in its place: data are a small mock, and a fit is posed
(which refuses whatever does not go together) but not sampled: its answer is drawn from the prior. Commands are parsed
by the command line itself, and run where they are fast. Notebooks run for real.
"""

from __future__ import annotations

import inspect
import re
import shlex
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

import jax
import matplotlib as mpl
import numpy as np
import pytest
import typer

import galfit_sr as gs
from galfit_sr.analysis.calibrate import Calibration
from galfit_sr.analysis.trials import Setup
from galfit_sr.cli.commands import app
from galfit_sr.config import load_config
from galfit_sr.emulation.making import make_store
from galfit_sr.emulation.manifest import Plan
from galfit_sr.emulation.recipe import Recipe, read_recipe
from galfit_sr.inference.calibration import judge
from galfit_sr.inference.fit import check_exact, pose
from galfit_sr.inference.samplers import check_sampler, sampler_name
from galfit_sr.observations.mock import MOCK_TRUTH
from galfit_sr.priors import Prior
from galfit_sr.surveys.cluster import Queue
from galfit_sr.surveys.survey import make_plan

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
LANGUAGES = {"bash", "python", "toml", "text"}
DRAWS = 200


class Block(NamedTuple):
    """A fenced block of a page, and the line on which it begins."""

    page: str
    line: int
    language: str
    text: str


def blocks(path: Path) -> list[Block]:
    text = path.read_text(encoding="utf-8")
    fences = re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    page = str(path.relative_to(ROOT))
    return [Block(page, text[: f.start()].count("\n") + 1, f[1], f[2]) for f in fences]


BLOCKS = [block for page in PAGES for block in blocks(page)]
COMMANDS = [
    pytest.param(command.strip(), id=f"{block.page}:{block.line} {command.strip()}")
    for block in BLOCKS
    if block.language == "bash"
    for line in block.text.splitlines()
    for command in line.partition(" #")[0].split("&&")
    if command.strip()
]
PYTHON = {block.page: [b for b in BLOCKS if b.page == block.page and b.language == "python"] for block in BLOCKS}


def test_every_block_says_what_it_is():
    unknown = [f"{block.page}:{block.line}" for block in BLOCKS if block.language not in LANGUAGES]
    assert unknown == []
    hidden = [page.name for page in PAGES if re.search(r"\n\n    galfit-sr ", page.read_text(encoding="utf-8"))]
    assert hidden == [], "indented commands would not be tested"


RETURNED = {"Prediction", "Scene"}
"""What public functions give and take, and nobody makes by hand."""


def test_every_public_name_has_its_place_in_the_api():
    pages = "\n".join(page.read_text(encoding="utf-8") for page in (ROOT / "docs" / "api").glob("*.md"))
    # Of a module without its members only the text is shown.
    described = set(re.findall(r"^::: [\w.]*\.(\w+)$(?!\n +options:\n +members: false)", pages, re.MULTILINE))
    assert described == set(gs.__all__) - {"__version__"} | RETURNED


def parse(words: list[str]) -> None:
    """Raises click's error where the command line would refuse."""
    group: Any = typer.main.get_command(app)
    with group.make_context("galfit-sr", list(words), resilient_parsing=True) as context:
        name, command, rest = group.resolve_command(context, words)
        assert command is not None, f"{words[0]} is not a command"
        command.make_context(name, rest, parent=context)


@pytest.mark.parametrize("command", COMMANDS)
def test_command_is_understood(command):
    program, *words = shlex.split(command)
    if program == "galfit-sr":
        parse(words)
    elif program == "pip":
        known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
        asked = re.findall(r"\[(.*?)\]", command)
        assert {extra for group in asked for extra in group.split(",")} <= set(known)
    elif program == "python":
        assert (ROOT / words[0]).is_file()
    else:
        assert program in ("pytest", "mkdocs", "jupyter", "taskset", "git", "cd"), (
            f"{program} is not known to this test"
        )


@pytest.mark.parametrize(
    "words", [["fit", "--unknown"], ["fit", "--nlive", "many"], ["fitt"], ["compare", "--seed", "1"]]
)
def test_a_wrong_command_would_be_found(words):
    with pytest.raises(Exception, match=r"No such|valid integer|is not a command"):
        parse(words)


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.values[0].startswith("galfit-sr mock")])
def test_fast_commands_run(run, command):
    words = shlex.split(command)[1:]
    if "--parameters" in words:
        Path(words[words.index("--parameters") + 1]).write_text("inclination = 1.4835\n", encoding="utf-8")
    result = run(*words, "--canvas", "16", "--fidelity", "point")
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize("block", [pytest.param(b, id=f"{b.page}:{b.line}") for b in BLOCKS if b.language == "toml"])
def test_configuration_is_understood(block, tmp_path):
    table = tomllib.loads(block.text)
    if "draws" in table:
        assert isinstance(read_recipe(table), Recipe)
    elif "recipe" in table:
        assert isinstance(read_recipe(table["recipe"]), Recipe)
    elif "project" in table:
        (group,) = table["project"]["entry-points"]
        assert group in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]
    elif "jobs" in table:
        assert Queue("slurm", table.pop("jobs"), table).processes >= 1
    else:
        file = tmp_path / "fit.toml"
        file.write_text(block.text, encoding="utf-8")
        load_config(file)


@pytest.fixture(scope="module")
def galaxy():
    model = gs.GalaxyModel(canvas=gs.Canvas(16, 0.5), fidelity="point")
    return gs.make_mock(MOCK_TRUTH, model=model, seed=1, fibres=0)


@pytest.fixture(scope="module")
def real():
    return gs.read(gs.mock_galaxy_path())


@pytest.fixture
def place(galaxy, real, monkeypatch, tmp_path):
    """An empty folder with the files that pages speak of, and fits that are posed but not sampled."""
    monkeypatch.chdir(tmp_path)

    def fit(observation, *, sampler=None, parameters=None, emulator=None, exact=False, likelihood=None, seed=0, **more):
        inspect.signature(FIT).bind(observation, **more)
        check_sampler(sampler or gs.Nested())
        check_exact(exact, emulator)
        # Emulators are made for 80x80 pixels: they are posed with the bundled galaxy.
        data = real if emulator is not None else observation
        posed = pose(data, parameters=parameters, emulator=emulator, likelihood=likelihood)
        name = None if posed.card is None else posed.card.name
        return drawn(posed.target.prior, observation, sampler_name(sampler or gs.Nested()), name, exact, seed)

    def first_answer(observation, **more):
        posterior = fit(observation, **more)
        return gs.FirstAnswer(
            pose(observation),
            modes=(),
            values=posterior.best,
            errors=np.full(posterior.parameters.ndim, 0.1),
            reduced_chi2=posterior.reduced_chi2,
            maps=posterior.maps,
            binned_maps=posterior.binned_maps,
            warnings=(),
            calls=1,
            seconds=1.0,
        )

    def calibrate(*arguments, **more):
        inspect.signature(CALIBRATE).bind(*arguments, **more)
        setup = Setup(gs.default_parameters(), gs.Nested(nlive=40), None, 8, "point", None, 1)
        names = setup.parameters.names
        ranks = np.random.default_rng(0).uniform(size=(20, len(names)))
        facts = {"effective_samples": 300.0, "converged": True, "seconds": 1.0, "likelihood_calls": 10}
        trials = tuple({"ranks": dict(zip(names, row, strict=True)), **facts} for row in ranks)
        return Calibration(setup, trials, judge(names, ranks))

    def survey(files, out, **more):
        inspect.signature(SURVEY).bind(files, out, **more)
        plan = make_plan(files, Path(out), more.get("config"), more.get("variants", ()), more.get("resume", False))
        return gs.Survey(Path(out), plan, {})

    monkeypatch.setattr(gs, "survey", survey)
    (tmp_path / "galaxies.csv").write_text("file\ngalaxy.fits\n", encoding="utf-8")
    (tmp_path / "galaxy.fits").touch()
    (tmp_path / "fit.toml").write_text("seed = 1\n", encoding="utf-8")
    monkeypatch.setattr(gs, "fit", fit)
    monkeypatch.setattr(gs, "first_answer", first_answer)
    monkeypatch.setattr(gs, "calibrate", calibrate)
    monkeypatch.setattr(gs, "read", lambda path, **_: galaxy)
    monkeypatch.setattr(gs, "read_manga", lambda path, **_: galaxy)
    (tmp_path / "mock_galaxy_fit").mkdir()
    fit(galaxy).save(tmp_path / "mock_galaxy_fit" / "posterior.nc")
    return tmp_path


FIT, CALIBRATE, SURVEY = gs.fit, gs.calibrate, gs.survey


def drawn(prior: Prior, galaxy, sampler: str, emulator: str | None, exact: bool, seed: int) -> gs.Posterior:
    """What a fit gives, its samples drawn from the prior."""
    samples = np.asarray(prior.sample(jax.random.key(seed), DRAWS), dtype=np.float64)
    seen = gs.Maps(*(np.where(good, value, np.nan) for value, good in zip(galaxy.values, galaxy.good, strict=True)))
    correction = {"method": "reweighted", "certified": True, "khat": 0.1, "most_khat": 0.5, "draws": DRAWS}
    correction |= {"effective": 150.0, "emulated_log_evidence": -1.0, "emulated_calls": 1, "exact_calls": DRAWS}
    return gs.Posterior(
        parameters=prior.parameters,
        samples=samples,
        log_weights=np.full(DRAWS, -np.log(DRAWS)),
        log_likelihood=np.linspace(-2.0, -1.0, DRAWS),
        n_likelihood_calls=DRAWS,
        wall_seconds=1.0,
        sampler=sampler,
        sampler_settings={},
        seed=seed,
        converged=True,
        reduced_chi2={name: 1.0 for name in galaxy.available},
        best=samples[0],
        maps=galaxy.values,
        binned_maps=seen,
        data_fingerprint=galaxy.fingerprint(),
        version="0",
        log_evidence=-3.0,
        log_evidence_error=0.1,
        likelihood={"kind": "gaussian"},
        emulator=emulator,
        correction=correction if exact else None,
        truth=dict(galaxy.truth),
        galaxy=galaxy.name,
    )


@pytest.mark.parametrize("page", [page for page, found in PYTHON.items() if found])
def test_python_runs(page, place, galaxy, real):
    if "open_store" in "".join(block.text for block in PYTHON[page]):
        small = Recipe(fidelity="point", low=gs.Canvas(4, 10.0), high=gs.Canvas(16, 2.5))
        make_store(place / "pairs", Plan(small, 8, 2), lambda *_: None)
    namespace = {"__name__": "__main__", "gs": gs, "galaxy": galaxy, "posterior": gs.fit(galaxy)}
    for block in PYTHON[page]:
        code = compile("\n" * block.line + block.text, str(ROOT / block.page), "exec")
        # What astronomers' notebooks do, single precision included; numbers of another rank are promoted.
        with mpl.rc_context(), jax.numpy_rank_promotion("allow"):
            exec(code, namespace)
    if "load" in namespace:
        assert pose(real, emulator=namespace["load"]()).card.name == "nearest"
