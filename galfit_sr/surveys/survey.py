"""A survey from its list of galaxies to its catalogue."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
from astropy.table import Table

from ..config import FitConfig, load_config
from ..errors import InputError
from ..files import path_of
from ..inference.samplers import Sampler
from ..numeric import number
from ..progress import Progress
from .card import survey_html
from .catalogue import catalogue, write_catalogue
from .cluster import Engine, Local, Queue, client_of, engine_of, gpus
from .counts import Pace, counts
from .dispatch import dispatch
from .galaxies import from_files, from_list
from .outcome import Outcome, read_outcome, write_outcome
from .plan import Plan, keep_plan, outcome_file, read_plan
from .status_page import PAGE, write_page
from .worker import Process, Task

LEAST_BETWEEN_PAGES = 5.0
"""Seconds between two versions of the status page; more where writing it takes longer than a twentieth of them."""
_LOCK = ".lock"
"""File by which a survey that goes on keeps others from its folder."""


@dataclasses.dataclass(frozen=True)
class Survey:
    """A survey, as far as it has come.

    Attributes:
        folder: that holds it.
        plan: its galaxies and configuration.
        outcomes: name -> what became of a galaxy, of those that are done or failed.
    """

    folder: Path
    plan: Plan
    outcomes: Mapping[str, Outcome]

    def catalogue(self) -> Table:
        """One row a galaxy."""
        return catalogue(self.plan, self.outcomes)

    @property
    def failures(self) -> dict[str, str]:
        """Name -> reason."""
        return {name: outcome.reason for name, outcome in self.outcomes.items() if not outcome.done}

    def __str__(self) -> str:
        return str(counts(self.plan, self.outcomes, ()))

    def _repr_html_(self) -> str:
        return survey_html(self.summary())

    def summary(self) -> dict[str, Any]:
        """Numbers, failures and files in plain values."""
        return {
            "folder": str(self.folder),
            **counts(self.plan, self.outcomes, ()).by_status(),
            "failures": self.failures,
            "catalogue": str(self.folder / "catalogue.fits"),
            "page": str(self.folder / PAGE),
            "configuration": self.plan.hash,
        }


def survey(
    files: Sequence[str | Path] | str | Path | None,
    out: str | Path,
    *,
    config: FitConfig | str | Path | None = None,
    emulator: str | None = None,
    sampler: Sampler | None = None,
    variants: Sequence[str] = (),
    workers: int | None = None,
    scheduler: str | None = None,
    slurm: str | Path | None = None,
    pbs: str | Path | None = None,
    time_limit: float | None = None,
    resume: bool = False,
    progress: Progress | None = None,
) -> Survey:
    """Fits galaxies on Dask's workers, and writes their catalogue and a status page.

    Workers are spawned, so a script that calls this needs the usual `if __name__ == "__main__":`.

    Args:
        files: MaNGA MAPS or observation files, or a list of them, `galaxies.csv`; None for those of a survey that is
            resumed.
        out: folder of the survey.
        config: of every fit, or the TOML file that holds it; that of the survey that is resumed, or the default, if
            not given.
        emulator, sampler: in place of the configuration's.
        variants: names of models to compare: `bulge+disc`, `bulge+discs`, `discs`.
        workers: on this machine; one per GPU, or one per core, if not given.
        scheduler: address of a Dask scheduler whose workers are used instead.
        slurm, pbs: TOML file with dask-jobqueue's options of SLURM or PBS jobs that are used instead.
        time_limit: seconds after which a galaxy is given up.
        resume: go on with the survey in `out`: everything is done that is not done, failures once more.
        progress: called with a phrase, the share that has ended and a few words.

    Raises:
        InputError: a value that is not allowed, or a folder that holds something else.
    """
    engine = engine_of(workers=workers, scheduler=scheduler, slurm=slurm, pbs=pbs)
    out = path_of("out", out)
    plan = make_plan(files, out, config, variants, resume, emulator=emulator, sampler=sampler)
    return run_survey(plan, out, engine, time_limit=time_limit, resume=resume, progress=progress)


def make_plan(
    files: Sequence[str | Path] | str | Path | None,
    folder: Path,
    config: FitConfig | str | Path | None,
    variants: Sequence[str],
    resume: bool,
    **instead: Any,
) -> Plan:
    """The plan of a survey; arguments as for `survey`, `instead` are fields of the configuration unless None.

    Raises:
        InputError: galaxies or configuration cannot be used, or there is nothing to resume.
    """
    if resume:
        held = read_plan(folder)
    elif not files:
        raise InputError("there is no galaxy in the survey; at least one file is needed")
    changes = {name: value for name, value in instead.items() if value is not None}
    if not files:
        galaxies = held.galaxies
    elif isinstance(files, (str, Path)):
        galaxies = from_list(files)
    else:
        galaxies = from_files(files)
    if config is None:
        config = held.config if resume else FitConfig()
    elif not isinstance(config, FitConfig):
        config = load_config(path_of("config", config))
    if isinstance(variants, str):
        raise InputError(f"variants is {variants!r}; a list of names is needed, as [{variants!r}]")
    names = tuple(variants) or (held.variants if resume else ())
    return Plan(galaxies, dataclasses.replace(config, **changes), names)


def run_survey(
    plan: Plan,
    folder: Path,
    engine: Engine,
    *,
    time_limit: float | None = None,
    resume: bool = False,
    progress: Progress | None = None,
) -> Survey:
    """Does what is not done of a plan; arguments and errors as for `survey`."""
    if time_limit is not None and not number(time_limit) > 0:
        raise InputError(f"the time limit is {time_limit!r}; a positive number of seconds is needed")
    report = progress or (lambda phrase, share, words: None)
    taken = folder.exists() and (not folder.is_dir() or any(folder.iterdir()))
    if taken:
        keep_plan(folder, plan, resume)  # no worker is needed to refuse it
    with client_of(engine) as client:
        if not taken:
            keep_plan(folder, plan, resume)
        with _alone(folder):
            outcomes = _fitted(client, plan, folder, engine, time_limit, report)
    return Survey(folder, plan, outcomes)


def _fitted(
    client: Any, plan: Plan, folder: Path, engine: Engine, time_limit: float | None, report: Progress
) -> dict[str, Outcome]:
    """Name -> outcome of all galaxies; catalogue and status page are written, whatever happens."""
    outcomes = {name: outcome for name, outcome in _kept(folder, plan).items() if outcome.done}
    left = [galaxy for galaxy in plan.galaxies if galaxy.name not in outcomes]
    for galaxy in left:
        outcome_file(folder, galaxy.name).unlink(missing_ok=True)
    process = _process(plan, folder, engine)
    tasks = [Task(galaxy, plan.configs(galaxy), folder.absolute(), process, time_limit) for galaxy in left]
    write_page(folder, plan, outcomes, (), "", True)
    began, pause, before = time.monotonic(), 0.0, len(outcomes)
    written, shown = began, frozenset[str]()
    try:
        for news in dispatch(client, tasks):
            for outcome in news.ended:
                outcomes[outcome.name] = _settled(folder, outcome)
            now = time.monotonic()
            pace = Pace(len(outcomes) - before, len(plan.galaxies) - len(outcomes), now - began)
            report("galaxies", pace.share, _joined(counts(plan, outcomes, news.running), pace.throughput))
            # Whenever a galaxy has ended, another runs, but for the last ones.
            if news.running != shown and now - written > max(LEAST_BETWEEN_PAGES, 20 * pause):
                write_page(folder, plan, outcomes, news.running, _joined(pace.throughput, pace.remaining), True)
                written, shown = time.monotonic(), news.running
                pause = written - now
    finally:
        _write(folder, plan, outcomes)
    return outcomes


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keeps others from a survey's folder as long as this process lives.

    Raises:
        InputError: another process has it.
    """
    from filelock import FileLock, Timeout

    try:
        with FileLock(folder / _LOCK, timeout=0):
            yield
    except Timeout as error:
        raise InputError(f"another process fits the galaxies of {folder}; wait for it, or stop it") from error


def collate(folder: str | Path) -> Survey:
    """Writes catalogue and status page anew from what a survey's folder holds.

    Raises:
        InputError: it holds no survey, or something in it cannot be read.
    """
    folder = path_of("folder", folder)
    plan = read_plan(folder)
    outcomes = _kept(folder, plan)
    _write(folder, plan, outcomes)
    return Survey(folder, plan, outcomes)


def _write(folder: Path, plan: Plan, outcomes: Mapping[str, Outcome]) -> None:
    write_catalogue(folder, plan, outcomes)
    write_page(folder, plan, outcomes, (), "", False)


def _joined(*words: object) -> str:
    return ", ".join(filter(None, map(str, words)))


def _kept(folder: Path, plan: Plan) -> dict[str, Outcome]:
    """Name -> outcome of the galaxies that have one."""
    found = {name: read_outcome(outcome_file(folder, name)) for name in plan.names}
    return {name: outcome for name, outcome in found.items() if outcome is not None}


def _settled(folder: Path, outcome: Outcome) -> Outcome:
    """The outcome as it is kept: of a worker that died as soon as it had finished, what it kept itself."""
    file = outcome_file(folder, outcome.name)
    kept = read_outcome(file)
    if kept is None:
        write_outcome(file, outcome)
    return kept or outcome


def _process(plan: Plan, folder: Path, engine: Engine) -> Process:
    """What workers are to be: JAX's settings are those of this process, but for its precision."""
    cache: str | None = jax.config.jax_compilation_cache_dir  # type: ignore[attr-defined]
    settings = {
        "jax_enable_x64": plan.config.x64,
        "jax_compilation_cache_dir": cache or str(folder.absolute() / "programs"),
        "jax_persistent_cache_min_compile_time_secs": 0.0,  # small ones are many
    }
    match engine:
        case Local():
            return Process(engine.number, gpus() if engine.workers is None else min(gpus(), engine.number), settings)
        case Queue():
            return Process(engine.processes, 0, settings)
    return Process(None, 0, settings)
