"""Double precision for every test, and no silent change of rank; tests of float32 pass float32 arrays."""

import gc
import signal
from pathlib import Path

import jax
import pytest
from typer.testing import CliRunner

from galfit_sr.cli.commands import app

jax.config.update("jax_enable_x64", True)
# Commands that run inside this process find it set, and leave it.
jax.config.update("jax_num_cpu_devices", 1)
jax.config.update("jax_numpy_rank_promotion", "raise")

gc.set_threshold(50_000)  # as the command does

# A shell that starts the tests in the background has Ctrl-C ignored, by commands that the tests start as well.
signal.signal(signal.SIGINT, signal.default_int_handler)


_MOST_MAPS = 20_000


@pytest.fixture(scope="module", autouse=True)
def few_compiled_programs():
    """Compiled programs keep pieces of memory mapped; Linux allows a process 65530, and XLA crashes beyond."""
    yield
    maps = Path("/proc/self/maps")
    if maps.exists() and maps.read_bytes().count(b"\n") > _MOST_MAPS:
        jax.clear_caches()


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Run a command in this process, in an empty folder; JAX's settings are put back afterwards."""
    jax.devices()  # the number of devices is then settled, for the other tests too
    monkeypatch.chdir(tmp_path)
    before = jax.config.jax_enable_x64
    yield lambda *arguments: CliRunner().invoke(app, [str(a) for a in arguments], prog_name="galfit-sr")
    jax.config.update("jax_enable_x64", before)
