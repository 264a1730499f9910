"""Galaxies to workers and outcomes back, whatever becomes of the workers."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple
from uuid import uuid4

from ..errors import InputError
from .outcome import Outcome, failure, read_outcome
from .plan import outcome_file
from .worker import Task, work

DEATHS = 2
"""So many times a galaxy is tried again after the worker that fitted it was lost."""
TICK = 2.0
"""Seconds after which one looks up, though nothing has ended: for workers that have come, and to tell the time."""


class News(NamedTuple):
    """How far a survey is.

    Attributes:
        ended: outcomes since the last time.
        running: names of the galaxies that workers have.
    """

    ended: tuple[Outcome, ...]
    running: frozenset[str]


def dispatch(client: Any, tasks: Sequence[Task], function: Callable[[Task], Outcome] = work) -> Iterator[News]:
    """Gives workers one galaxy each, and another when it is done; which worker has which is Dask's affair.

    Only what runs is handed over, so that no galaxy is blamed for the death of a worker that had not begun it. One
    whose worker was lost is tried again after the others, `DEATHS` times.

    Args:
        client: Dask's.
        tasks: in the order in which they are begun.
        function: what a worker does with each.

    Raises:
        InputError: the scheduler is lost.
    """
    from distributed import wait

    left = list(reversed(tasks))
    held: dict[Any, Task] = {}
    deaths: Counter[str] = Counter()

    def hand_over() -> None:
        for _ in range(min(len(left), len(client.nthreads()) - len(held))):
            task = left.pop()
            held[client.submit(function, task, key=f"{task.galaxy.name}-{uuid4().hex[:8]}", pure=False)] = task

    while left or held:
        hand_over()
        ended: tuple[Any, ...] = ()
        if not held:
            time.sleep(TICK)  # until the first worker comes
        else:
            # `wait` asks the current client, which need not be this one, and waits in the event loop of that one.
            with client.as_current(), contextlib.suppress(TimeoutError):
                ended = tuple(wait(list(held), timeout=TICK, return_when="FIRST_COMPLETED").done)
        found = []
        for future in ended:
            task = held.pop(future)
            killed = _deaths(future)
            deaths[task.galaxy.name] += killed
            # One that died as soon as it was done, or because its time was up, has told what became of the galaxy.
            kept = read_outcome(outcome_file(task.folder, task.galaxy.name)) if killed else None
            if kept is not None:
                found.append(kept)
            elif killed and deaths[task.galaxy.name] <= DEATHS:
                left.insert(0, task)
            else:
                found.append(_outcome(future, task, deaths[task.galaxy.name]))
        hand_over()  # no worker waits for what is made of the news
        yield News(tuple(found), frozenset(task.galaxy.name for task in held.values()))


def _deaths(future: Any) -> int:
    """How many workers were lost with a task."""
    from distributed import KilledWorker

    if future.status != "error":
        return 0
    error = future.exception()
    return error.allowed_failures + 1 if isinstance(error, KilledWorker) else 0


def _outcome(future: Any, task: Task, deaths: int) -> Outcome:
    if future.status == "finished":
        return future.result()
    if future.status != "error":
        raise InputError("the Dask scheduler is lost; what is finished is kept, go on with --resume")
    if _deaths(future):
        return failure(
            task.galaxy.name,
            f"its worker was killed {deaths} times, perhaps for want of memory or by the batch system",
        )
    error = future.exception()
    return failure(task.galaxy.name, f"{type(error).__name__}: {error}")
