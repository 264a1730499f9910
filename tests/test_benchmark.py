"""The benchmark: complete, restores what it switches, and ready for people and for JSON."""

import json

import jax
import jax.numpy as jnp
import pytest

from galfit_sr.analysis import benchmark as module
from galfit_sr.analysis.benchmark import Setting, as_text, benchmark
from galfit_sr.model.grid import Canvas

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def stages():
    return []


@pytest.fixture(scope="module")
def result(stages):
    # One disc, since every program is compiled for real.
    disc = ("disc1", "halo")
    settings = (
        Setting("tiny pixel", Canvas(8, 0.5), "pixel", True, disc),
        Setting("tiny", Canvas(8, 0.5), "point", False, disc),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_LEAST_SECONDS", 0.0)
        patch.setattr(module, "OVERSAMPLE", 3)
        return benchmark(settings, lambda *stage: stages.append(stage))


def test_every_combination_is_timed(result):
    found = [(r["setting"], r["what"], r["precision"]) for r in result["rows"]]
    expected = [
        (setting, what, precision)
        for precision in ("float32", "float64")
        for setting, kinds in (("tiny pixel", ("maps", "likelihood", "gradient")), ("tiny", ("maps",)))
        for what in kinds
    ]
    assert found == expected
    assert all(r["single_ms"] > 0 and r["batched_ms"] > 0 for r in result["rows"])
    # Tracing and compiling take much longer than running once.
    assert all(1e3 * r["compile_s"] > r["single_ms"] for r in result["rows"])


def test_the_yardstick_is_for_maps(result):
    for row in result["rows"]:
        if row["what"] == "maps":
            assert row["speed_up"] == pytest.approx(row["plain_ms"] / row["single_ms"])
        else:
            assert row["plain_ms"] is row["speed_up"] is None


def test_precision_is_as_before(result):
    assert result["rows"]
    assert jnp.result_type(float) == jnp.float64
    assert jax.config.values["jax_enable_compilation_cache"] is True


def test_what_is_compiled_before_is_compiled_again(tmp_path):
    """Within, no program comes from the disk; before and after, they do."""
    kept = {"jax_compilation_cache_dir": str(tmp_path), "jax_persistent_cache_min_compile_time_secs": 0.0}
    before = {name: jax.config.values[name] for name in kept}
    from_disk = []
    jax.monitoring.register_event_listener(
        lambda event, **_: from_disk.append(event) if "cache_hits" in event else None
    )

    def found():
        """How many programs of a function came from the disk."""
        from_disk.clear()
        jax.block_until_ready(jax.jit(lambda x: jnp.sin(x) + 0.25)(jnp.ones(3)))
        return len(from_disk)

    try:
        for name, value in kept.items():
            jax.config.update(name, value)
        module.reset_cache()
        found()
        assert found() > 0
        with module.no_stored_programs():
            # The setting alone would make programs of another name, which the disk has the second time.
            assert [found(), found()] == [0, 0]
        assert found() > 0
    finally:
        for name, value in before.items():
            jax.config.update(name, value)
        module.reset_cache()


def test_output_for_programs_and_people(result):
    assert json.loads(json.dumps(result)) == result
    text = as_text(result)
    lines = [line for line in text.splitlines() if "tiny" in line]
    assert len(lines) == len(result["rows"])
    for line, row in zip(lines, result["rows"], strict=True):
        assert row["what"] in line
        assert row["precision"] in line
        assert f"{row['single_ms']:.2f}" in line
    assert f"{result['machine']['cores']} cores" in text


def test_progress_ends_at_one(result, stages):
    assert result["batch"] == 16
    assert stages[-1][:2] == ("galfit_sr", 1.0)
    assert all(0 <= fraction <= 1 for _, fraction, _ in stages)


def test_thick_discs_have_no_yardstick():
    setting = Setting("thick", Canvas(8, 0.5), "point", False, ("thick_disc1", "halo"))
    milliseconds, maps = module._plain(setting)
    assert milliseconds is None
    assert setting.model.components == ("thick_disc1", "halo")
    assert setting.truth["inclination"] > 1.4
    assert maps.velocity.shape == (8, 8)
