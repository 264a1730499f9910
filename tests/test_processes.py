"""Work in other processes: cores, settings, errors, deaths, and ends."""

from __future__ import annotations

import os
import signal
import time
from multiprocessing import active_children

import pytest

from galfit_sr.errors import InputError
from galfit_sr.processes import in_processes


def look(task):
    """What a process is like."""
    import jax

    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    time.sleep(0.2)  # so that one does not do the work of both
    return task, os.getpid(), cores, jax.config.jax_enable_x64, signal.getsignal(signal.SIGINT) == signal.SIG_IGN


def fail(task):
    raise InputError(f"{task} is wrong; another is needed")


def die(task):
    os.kill(os.getpid(), signal.SIGKILL)


def sleep(task):
    time.sleep(task)
    return task


def test_processes_share_the_cores_and_have_the_settings():
    found = list(in_processes(look, range(8), 2, {"jax_enable_x64": True}))
    assert sorted(task for task, *_ in found) == list(range(8))
    shares = {pid: cores for _, pid, cores, *_ in found}
    assert os.getpid() not in shares
    assert all(x64 and deaf for *_, x64, deaf in found)
    if hasattr(os, "sched_getaffinity") and len(os.sched_getaffinity(0)) >= 2:
        together = [core for cores in shares.values() for core in cores]
        assert len(together) == len(set(together))


def test_errors_come_through_and_deaths_are_told():
    with pytest.raises(InputError, match="3 is wrong; another is needed"):
        list(in_processes(fail, [3], 1, {}))
    with pytest.raises(InputError, match="a worker process was killed"):
        list(in_processes(die, [3], 1, {}))


def test_nobody_is_left_when_results_are_no_longer_wanted():
    before, began = set(active_children()), time.monotonic()
    results = in_processes(sleep, [0.0, 300.0], 1, {})
    assert next(results) == 0.0
    results.close()
    assert set(active_children()) == before
    assert time.monotonic() - began < 200
