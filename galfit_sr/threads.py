"""Independent pieces of work, side by side in threads: JAX, NumPy and SciPy compute without the interpreter."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import TypeVar

import jax

from .processes import cores_here

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def in_threads(
    function: Callable[[_Item], _Result], items: Iterable[_Item], done: Callable[[int], None] | None = None
) -> list[_Result]:
    """Results of a function for all items, in their order, from as many threads as there are cores.

    Each thread computes with the caller's precision and on the caller's device, which JAX knows by the thread.

    Args:
        function: which may be called by several threads at once.
        items: what it is called with, each once.
        done: called by the caller's thread with the number of results as they become ready.
    """
    precision, device = jax.config.values["jax_enable_x64"], jax.config.values["jax_default_device"]

    def one(item: _Item) -> _Result:
        with jax.enable_x64(precision), jax.default_device(device):
            return function(item)

    with ThreadPoolExecutor(cores_here()) as pool:
        futures = [pool.submit(one, item) for item in items]
        try:
            for count, future in enumerate(as_completed(futures), 1):
                future.result()
                if done is not None:
                    done(count)
        except BaseException:
            # What runs cannot be stopped and is short; what has not begun never does.
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return [future.result() for future in futures]
