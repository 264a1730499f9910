"""Independent pieces of work, spread over processes that do not stand in each other's way."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import active_children, get_context, parent_process
from typing import Any, TypeVar

from .errors import InputError

_MOST_DEVICES = 16
_Task = TypeVar("_Task")
_Result = TypeVar("_Result")


def in_processes(
    function: Callable[[_Task], _Result], tasks: Iterable[_Task], workers: int, settings: dict[str, Any]
) -> Iterator[_Result]:
    """Results of a function as they become ready, from processes that each have a share of the cores.

    Processes are spawned, since JAX must not be forked; the script that calls this needs the usual
    `if __name__ == "__main__":`. They end with this process, and when the results are no longer asked for.

    Args:
        function: at the top of a module, as are the types of what it is given and what it returns.
        tasks: what it is called with, each once.
        workers: number of processes.
        settings: of JAX in each process, name -> value.

    Raises:
        InputError: a process was killed.
    """
    context = get_context("spawn")
    shares = context.SimpleQueue()
    for rank in range(workers):
        shares.put(share_of(rank, workers))
    others = set(active_children())
    with ProcessPoolExecutor(workers, context, _begin, (shares, settings)) as pool:
        try:
            for future in as_completed([pool.submit(function, task) for task in tasks]):
                yield future.result()
        except BaseException as error:
            # The pool, without its processes, gives up what is left.
            for child in set(active_children()) - others:
                child.terminate()
            if isinstance(error, BrokenProcessPool):
                raise InputError(
                    "a worker process was killed, perhaps for want of memory; use fewer workers"
                ) from error
            raise


def cores_here() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def use_cores() -> None:
    """Has JAX make a device of every core of this process, unless it was told a number: walks are spread over devices.

    Raises:
        RuntimeError: JAX has computed something already.
    """
    import jax

    if jax.config.values["jax_num_cpu_devices"] == -1:
        # Walkers are shared out among devices, so a power of two.
        jax.config.update("jax_num_cpu_devices", min(_MOST_DEVICES, 1 << (cores_here().bit_length() - 1)))


def share_of(rank: int, workers: int) -> list[int] | None:
    """Cores of one of so many workers, None where a process cannot be bound to cores."""
    if not hasattr(os, "sched_getaffinity"):
        return None
    cores = sorted(os.sched_getaffinity(0))
    return [cores[rank % len(cores)]] if workers >= len(cores) else cores[rank % workers :: workers]


def pin(cores: list[int] | None) -> None:
    """Binds this thread, and the threads that it will start, to cores; libraries make as many threads."""
    if cores is not None:
        os.sched_setaffinity(0, cores)


def _begin(shares: Any, settings: dict[str, Any]) -> None:
    """Settles a process before it computes anything."""
    # Ctrl-C reaches every process of a terminal; the one that was started ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    pin(shares.get())
    use_cores()
    import jax

    for name, value in settings.items():
        jax.config.update(name, value)


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
