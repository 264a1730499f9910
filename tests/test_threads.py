"""Work side by side in threads."""

import threading
import time

import jax
import jax.numpy as jnp
import pytest

from galfit_sr import threads
from galfit_sr.threads import in_threads


@pytest.fixture(params=[1, 3])
def cores(request, monkeypatch):
    monkeypatch.setattr(threads, "cores_here", lambda: request.param)
    return request.param


def test_results_come_in_the_order_of_the_items(cores):
    last = threading.Event()

    def waits(item):
        # The first ends last, as far as there are threads for that.
        if item == 0 and cores > 1:
            assert last.wait(60)
        if item == 4:
            last.set()
        return item**2

    counts = []
    assert in_threads(waits, range(5), counts.append) == [0, 1, 4, 9, 16]
    assert counts == [1, 2, 3, 4, 5]


def test_of_nothing_comes_nothing():
    assert in_threads(len, []) == []


def test_as_many_run_at_once_as_there_are_cores(monkeypatch):
    monkeypatch.setattr(threads, "cores_here", lambda: 3)
    together = threading.Barrier(3, timeout=60)
    assert sorted(in_threads(lambda _: together.wait(), range(3))) == [0, 1, 2]


@pytest.mark.parametrize("precision", [False, True])
def test_threads_compute_with_the_precision_of_their_caller(cores, precision):
    with jax.enable_x64(precision):
        found = in_threads(lambda value: jnp.asarray(value).dtype, [0.5, 1.5])
    assert found == [jnp.float64 if precision else jnp.float32] * 2


def test_threads_compute_on_the_device_of_their_caller(cores):
    last = jax.devices()[-1]
    with jax.default_device(last):
        found = in_threads(lambda value: jnp.asarray(value).devices(), [0.5, 1.5])
    assert found == [{last}] * 2


def test_an_error_is_raised_and_ends_what_has_not_begun(cores):
    begun = []

    def fails(item):
        begun.append(item)
        time.sleep(0.002)
        raise ValueError(f"{item} is odd")

    with pytest.raises(ValueError, match="is odd"):
        in_threads(fails, range(1, 2000, 2))
    assert len(begun) < 1000


def test_an_interrupt_of_the_caller_ends_what_has_not_begun(cores):
    begun = []

    def takes_time(item):
        begun.append(item)
        time.sleep(0.002)

    def interrupted(count):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        in_threads(takes_time, range(2000), interrupted)
    assert len(begun) < 1000
