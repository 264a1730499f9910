"""Double precision for every test, and no silent change of rank; tests of float32 pass float32 arrays."""

import atexit
import os
import shutil
import signal
import tempfile
from pathlib import Path

# Programs compiled by one process serve all that the tests start, and leave nothing in the user's own cache.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp(prefix="galfit_sr_programs_")
    atexit.register(shutil.rmtree, os.environ["JAX_COMPILATION_CACHE_DIR"], ignore_errors=True)

import jax
import pytest
from typer.testing import CliRunner

from galfit_sr import cli

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_rank_promotion", "raise")

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
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path / "unused"))
    before = jax.config.jax_enable_x64
    yield lambda *arguments: CliRunner().invoke(cli.app, [str(a) for a in arguments], prog_name="galfit-sr")
    jax.config.update("jax_enable_x64", before)
