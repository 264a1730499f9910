"""What workers do in tests of everything but the fits; workers import it."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from galfit_sr.errors import InputError
from galfit_sr.surveys.galaxies import Galaxy
from galfit_sr.surveys.outcome import DONE, Outcome, failure, read_outcome, write_outcome
from galfit_sr.surveys.plan import outcome_file
from galfit_sr.surveys.worker import Process, Task, _settle


def tasks(folder: Path, *names: str) -> list[Task]:
    return [Task(Galaxy(name, "none"), {}, folder, Process(1, 0, {})) for name in names]


def act(task: Task) -> Outcome:
    """What the name says; leaves a mark for every time that it was begun.

    As in `work`, what is finished is kept: results that a dying worker has not handed over are asked for again.
    """
    name = task.galaxy.name
    kept = read_outcome(task.folder / f"{name}.json")
    if kept is not None:
        return kept
    marks = task.folder / name
    with marks.open("a") as file:
        file.write("begun\n")
    if name.startswith("settled"):
        _settle(Process(2, 0, {"jax_enable_x64": True}))
        import jax

        time.sleep(0.5)  # so that one worker does not do the work of both
        deaf = signal.getsignal(signal.SIGINT) == signal.SIG_IGN
        cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        return Outcome(name, DONE, worker={"cores": cores, "x64": jax.config.jax_enable_x64, "deaf": deaf})
    if name == "told":
        write_outcome(outcome_file(task.folder, name), failure(name, "its time was up"))
    deaths = {"told": 1, "killed-once": 1, "killed-always": 99}.get(name, 0)
    if len(marks.read_text().splitlines()) <= deaths:
        os.kill(os.getpid(), signal.SIGKILL)
    if name == "refused":
        raise InputError("it is\nrefused")
    time.sleep(0.1)
    outcome = Outcome(name, DONE)
    write_outcome(task.folder / f"{name}.json", outcome)
    return outcome
