"""JAX as `start_jax` leaves it, in processes of their own: it can be set up once only."""

import os
import subprocess
import sys

import pytest

from galfit_sr.processes import cores_here

DEVICES = "print(jax.device_count())\n"
CACHE = "print(jax.config.values['jax_compilation_cache_dir'])\n"


@pytest.fixture
def lines(tmp_path):
    """What a script prints, line by line, in an environment that says nothing about JAX but what is given."""

    def run(script: str, **environment: str) -> list[str]:
        names = ("XLA_FLAGS", "JAX_NUM_CPU_DEVICES", "JAX_COMPILATION_CACHE_DIR")
        clean = {name: value for name, value in os.environ.items() if name not in names}
        clean |= {"JAX_PLATFORMS": "cpu", "XDG_CACHE_HOME": str(tmp_path), **environment}
        script = f"import jax\nimport galfit_sr as gs\n{script}"
        done = subprocess.run([sys.executable, "-c", script], env=clean, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        return [*done.stdout.splitlines(), *done.stderr.splitlines()]

    return run


def test_all_cores_are_devices_and_programs_are_kept(lines, tmp_path):
    count, cache = lines(f"gs.start_jax()\n{DEVICES}{CACHE}")
    assert cores_here() / 2 < int(count) <= cores_here() or int(count) == 16
    assert cache == str(tmp_path / "galfit_sr" / "xla")


def test_what_is_set_already_is_left_alone(lines):
    script = (
        f"jax.config.update('jax_enable_x64', True)\ngs.start_jax()\n{DEVICES}{CACHE}print(jax.numpy.ones(1).dtype)"
    )
    assert lines(script, JAX_NUM_CPU_DEVICES="3", JAX_COMPILATION_CACHE_DIR="/kept") == ["3", "/kept", "float64"]


@pytest.mark.parametrize("x64", [True, False])
def test_precision_is_chosen(lines, x64):
    other = f"jax.config.update('jax_enable_x64', {not x64})"
    (found,) = lines(f"{other}\ngs.start_jax(x64={x64})\nprint(jax.config.jax_enable_x64)")
    assert found == str(x64)


@pytest.mark.skipif(cores_here() < 2, reason="one core is one device")
def test_too_late_is_told(lines):
    count, warning, *_ = lines(f"jax.devices()\ngs.start_jax()\n{DEVICES}")
    assert count == "1"
    assert "RuntimeWarning: JAX has computed already, and goes on with 1 device for" in warning


def test_a_second_call_says_nothing(lines):
    assert len(lines(f"gs.start_jax()\njax.devices()\ngs.start_jax()\n{DEVICES}")) == 1
