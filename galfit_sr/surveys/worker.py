"""One galaxy of a survey, fitted in a worker: settings of the process, the fit, and what is kept of it."""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import gc
import os
import resource
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..files import write_bytes, write_text
from ..processes import pin, share_of, use_cores
from .galaxies import Galaxy
from .outcome import DONE, Outcome, failure, read_outcome, write_outcome
from .plan import outcome_file, run_folder, thumbnail_file


@dataclasses.dataclass(frozen=True)
class Process:
    """How a worker's process is to be.

    Attributes:
        workers: of which the cores of its machine, or of its job, are shared by so many; None if that is not known:
            then it keeps to a single thread.
        gpus: that the machine's workers share, 0 without.
        settings: of JAX, name -> value.
    """

    workers: int | None
    gpus: int
    settings: Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Task:
    """The fits of one galaxy.

    Attributes:
        galaxy: which.
        configs: variant -> configuration.
        folder: of the survey.
        process: of the worker.
        seconds: after which it is given up; None for never.
    """

    galaxy: Galaxy
    configs: Mapping[str, Any]
    folder: Path
    process: Process
    seconds: float | None = None


def work(task: Task) -> Outcome:
    """Fits a galaxy, and keeps what became of it in the survey's folder.

    Whatever is wrong with the galaxy becomes the reason of its failure. One that was finished already, by a worker
    that died before it could tell, is not fitted again.
    """
    file = outcome_file(task.folder, task.galaxy.name)
    known = read_outcome(file)
    if known is not None:
        return known
    _settle(task.process)
    with _limited(task, file) as finish:
        try:
            outcome = _fitted(task)
        except InputError as error:
            outcome = failure(task.galaxy.name, str(error))
        except Exception as error:
            # A single galaxy must not end the survey, whatever it is that it has met.
            write_text(file.with_suffix(".txt"), traceback.format_exc())
            outcome = failure(task.galaxy.name, f"{type(error).__name__}: {error}")
        finish(outcome)
    _release()
    return outcome


def _release() -> None:
    """Gives memory back that a galaxy has used, which lies in pieces."""
    if not gc.get_freeze_count():
        # Modules and programs, half a million objects that need not be looked at again. Python collects the others
        # often enough by itself: it waits for a quarter of what it has found to live long.
        gc.collect()
        gc.freeze()
    with contextlib.suppress(OSError, AttributeError, TypeError):  # glibc has it, others do without
        ctypes.CDLL(None).malloc_trim(0)


def _fitted(task: Task) -> Outcome:
    from ..model.galaxy import GalaxyModel
    from ..model.grid import Canvas
    from ..observations.quality import critical
    from ..running import observe, run_fit
    from .record import record
    from .thumbnail import thumbnail

    began, compiled = time.monotonic(), _compiled[0]
    models: dict[str, Mapping[str, Any]] = {}
    observation = observe(next(iter(task.configs.values())))
    name = task.galaxy.name
    write_bytes(thumbnail_file(task.folder, name), thumbnail(observation))
    unusable = critical(observation.notes)
    if unusable:
        raise InputError(" ".join(unusable))
    for variant, config in task.configs.items():
        folder = run_folder(task.folder, name, variant)
        posterior, _ = run_fit(
            config,
            folder,
            resume=True,
            overwrite=False,
            command=f"galfit-sr fit --config {folder / 'config.toml'}",
            progress=lambda *_: None,
            observation=observation,
        )
        canvas = Canvas(observation.size, observation.pixel_scale)
        model = GalaxyModel(config.components, canvas, config.model.fidelity)
        models[variant] = record(posterior, model, observation.redshift)
    took = {
        "seconds": time.monotonic() - began,
        "compiled": _compiled[0] - compiled,
        "memory": memory(),
        "process": os.getpid(),
    }
    return Outcome(name, DONE, "", models, observation.sky, took)


@contextlib.contextmanager
def _limited(task: Task, file: Path) -> Iterator[Callable[[Outcome], None]]:
    """Gives the function that keeps the outcome; if that is not called in time, the process ends with a failure kept.

    Nothing gentler stops a program that hangs in compiled code. The run's checkpoint stays.
    """
    first = threading.Lock()

    def finish(outcome: Outcome) -> None:
        if first.acquire(blocking=False):
            write_outcome(file, outcome)

    def expire() -> None:
        if first.acquire(blocking=False):
            write_outcome(file, failure(task.galaxy.name, f"the time limit of {task.seconds:g} s was reached"))
            os._exit(1)

    timer = None if task.seconds is None else threading.Timer(task.seconds, expire)
    if timer is not None:
        timer.daemon = True
        timer.start()
    try:
        yield finish
    finally:
        if timer is not None:
            timer.cancel()


def memory() -> float:
    """Of this process [MiB]; the largest so far where the present one cannot be told."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * resource.getpagesize() / 2**20
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


_settled: list[Process] = []
_compiled = [0]
"""Programs that JAX has made in this process, those from its cache on disk included."""


def _settle(process: Process) -> None:
    """Makes this process what it is to be, the first time; all before JAX looks at the machine."""
    if not _settled:
        rank = _rank()
        if process.workers is None or rank is None:
            os.environ["NPROC"] = "1"  # what XLA takes for the number of cores
        else:
            pin(share_of(rank, process.workers))
            use_cores()
        if process.gpus:
            os.environ["CUDA_VISIBLE_DEVICES"] = str((rank or 0) % process.gpus)
            sharing = -(-(process.workers or 1) // process.gpus)
            if sharing > 1:
                os.environ.setdefault("XLA_PYTHON_CLIENT_MEM_FRACTION", f"{0.9 / sharing:.2f}")
    import jax

    if not _settled:
        jax.monitoring.register_event_duration_secs_listener(_count)
    if _settled != [process]:
        _settled[:] = [process]
        for name, value in process.settings.items():
            jax.config.update(name, value)


def _count(event: str, duration_secs: float, **_: Any) -> None:
    if event.endswith("backend_compile_duration"):
        _compiled[0] += 1


def _rank() -> int | None:
    """Which of the workers on its machine, or in its job, this one is: the number at the end of its name."""
    from distributed import get_worker

    try:
        name = str(get_worker().name)
    except ValueError:
        return None
    number = name.rpartition("-")[2]
    return int(number) if number.isdecimal() else None
