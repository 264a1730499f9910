"""Limits, checkpoints and resuming: what was done is kept, and a resumed run is the run that was interrupted."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pickle
import signal
import subprocess
import sys
import time
import types
from pathlib import Path

import analytic
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from same_run import assert_same

from galfit_sr.errors import InputError
from galfit_sr.inference import nested
from galfit_sr.inference.engine import Engine
from galfit_sr.inference.mixture import laplace_mixture
from galfit_sr.inference.nested import Nested, run_nested
from galfit_sr.inference.problem import CHUNK
from galfit_sr.inference.proposal import make_proposal
from galfit_sr.inference.sampled import Sampled
from galfit_sr.inference.walk import Kernel, make_kernel

STATIC = Nested(nlive=50, walks=20, walkers=8, start="prior")
# More effective samples than any limit here allows: every dynamic run ends by its limit.
DYNAMIC = dataclasses.replace(STATIC, dynamic=True, effective_samples=20_000)
KNOWN = analytic.correlated_gaussian(4)


@contextlib.contextmanager
def within(seconds: int):
    """Fail instead of hanging."""

    def stop(signum, frame):
        raise TimeoutError(f"still running after {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.fixture
def batches(monkeypatch) -> list[int]:
    """A list that grows by one entry, the likelihoods, with every batch of walks or of draws."""
    calls: list[int] = []
    run, draw = Kernel.run, Engine.log_likelihoods

    def counted_run(self, *args, **kwargs):
        calls.append(self.walkers * self.calls)
        return run(self, *args, **kwargs)

    def counted_draw(self, z):
        calls.append(len(z))
        return draw(self, z)

    monkeypatch.setattr(Kernel, "run", counted_run)
    monkeypatch.setattr(Engine, "log_likelihoods", counted_draw)
    return calls


def assert_partial(run: Sampled) -> None:
    assert not run.converged
    assert np.all(np.isfinite(run.z))
    assert np.isfinite(run.log_evidence)
    assert np.isfinite(run.log_evidence_error)
    np.testing.assert_allclose(np.exp(run.log_weights).sum(), 1.0, rtol=1e-10)
    assert len(run.z) == len(run.log_weights) == len(run.log_likelihood) == len(run.log_volume)


def test_an_engine_pickles_as_a_mark():
    known = analytic.correlated_gaussian(18)
    kernel = make_kernel(known.problem, make_proposal(18, laplace_mixture(known.modes), jnp.float64), 8, 20)
    arrays = sum(np.asarray(a).nbytes for a in jax.tree.leaves((kernel.proposal, kernel.arrays)))
    pickled = pickle.dumps(Engine(known.problem, kernel, "seed 1"))
    assert len(pickled) < 1000 < arrays


def test_interrupted_run_is_partial_and_resumes_into_the_uninterrupted_one(tmp_path, batches):
    whole = run_nested(KNOWN.problem, None, STATIC, seed=1)
    needed = sum(batches)
    batches.clear()
    file = tmp_path / "checkpoint"
    half = dataclasses.replace(STATIC, max_calls=whole.calls // 2)
    part = run_nested(KNOWN.problem, None, half, seed=1, checkpoint=file)
    assert_partial(part)
    # The limit is looked at after every new point, and the queue of walks was drawn before.
    assert half.max_calls < part.calls <= half.max_calls + STATIC.walkers * (STATIC.walks + 1) + STATIC.nlive
    done = sum(batches)
    assert 0.4 * needed < done < 0.6 * needed

    batches.clear()
    resumed = run_nested(KNOWN.problem, None, STATIC, seed=1, checkpoint=file, resume=True)
    assert sum(batches) == needed - done
    assert resumed.converged
    assert_same(resumed, whole)
    assert resumed.seconds > part.seconds, "the time is that of both sessions"

    batches.clear()
    again = run_nested(KNOWN.problem, None, STATIC, seed=1, checkpoint=file, resume=True)
    assert not batches, "a finished run has nothing left to do"
    assert_same(again, whole)


def test_run_that_was_interrupted_while_it_drew_goes_on_drawing(tmp_path, batches):
    settings = dataclasses.replace(STATIC, nlive=200)
    whole = run_nested(KNOWN.problem, None, settings, seed=1)
    needed = sum(batches)
    batches.clear()
    file = tmp_path / "checkpoint"
    part = run_nested(KNOWN.problem, None, dataclasses.replace(settings, max_calls=1500), seed=1, checkpoint=file)
    assert_partial(part)
    assert part.calls == sum(batches) == 2 * CHUNK
    batches.clear()
    resumed = run_nested(KNOWN.problem, None, settings, seed=1, checkpoint=file, resume=True)
    assert sum(batches) == needed - part.calls
    assert_same(resumed, whole)


def test_run_that_ends_with_its_draws_is_kept_like_any_other(tmp_path, batches):
    start = laplace_mixture(KNOWN.modes)
    settings = dataclasses.replace(STATIC, walks=60, start="repartitioned")
    file = tmp_path / "checkpoint"
    whole = run_nested(KNOWN.problem, start, settings, seed=1, checkpoint=file)
    assert whole.converged
    assert sum(batches) == whole.calls == len(whole.z) == 3 * CHUNK
    batches.clear()
    assert_same(run_nested(KNOWN.problem, start, settings, seed=1, checkpoint=file, resume=True), whole)
    assert not batches
    with pytest.raises(InputError, match="another run"):
        run_nested(KNOWN.problem, start, settings, seed=2, checkpoint=file, resume=True)
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(InputError, match="cannot be read as a checkpoint"):
        run_nested(KNOWN.problem, start, settings, seed=1, checkpoint=file, resume=True)


def test_checkpoint_in_the_middle_resumes_into_the_uninterrupted_run(tmp_path, monkeypatch):
    whole = run_nested(KNOWN.problem, None, STATIC, seed=3)
    file, kept = tmp_path / "checkpoint", tmp_path / "kept"
    monkeypatch.setattr(nested, "CHECKPOINT_SECONDS", 0.0)

    def keep(phrase, share, text):
        if file.exists() and not kept.exists() and share > 0.4:
            kept.write_bytes(file.read_bytes())

    # The progress is told five times a second at most; a faster clock tells it at every step.
    ticks = iter(range(10**9))
    monkeypatch.setattr(nested, "time", types.SimpleNamespace(monotonic=lambda: float(next(ticks))))
    run_nested(KNOWN.problem, None, STATIC, seed=3, checkpoint=file, progress=keep)
    assert_same(run_nested(KNOWN.problem, None, STATIC, seed=3, checkpoint=kept, resume=True), whole)


def test_without_resume_a_checkpoint_is_not_used(tmp_path):
    file = tmp_path / "checkpoint"
    whole = run_nested(KNOWN.problem, None, STATIC, seed=1, checkpoint=file)
    assert file.exists()
    other = run_nested(KNOWN.problem, None, STATIC, seed=2, checkpoint=file)
    assert not np.array_equal(whole.log_likelihood, other.log_likelihood)


@pytest.mark.parametrize("short_by", [1, 10, 40])
def test_limit_reached_while_live_points_are_added(tmp_path, short_by):
    # Counted in are the live points that end the run, one call each; sampling is over by then.
    whole = run_nested(KNOWN.problem, None, STATIC, seed=1)
    limited = dataclasses.replace(STATIC, max_calls=whole.calls - short_by)
    file = tmp_path / "checkpoint"
    run = run_nested(KNOWN.problem, None, limited, seed=1, checkpoint=file)
    np.testing.assert_allclose(run.log_evidence, whole.log_evidence, atol=1e-6)
    assert_same(run_nested(KNOWN.problem, None, STATIC, seed=1, checkpoint=file, resume=True), whole)


@pytest.mark.parametrize("calls", [6_000, 40_000], ids=["first run", "batches"])
def test_dynamic_run_is_partial_and_resumes(tmp_path, calls, batches):
    file = tmp_path / "checkpoint"
    limit, longer = (dataclasses.replace(DYNAMIC, max_calls=n) for n in (calls, calls + 20_000))
    part = run_nested(KNOWN.problem, None, limit, seed=1, checkpoint=file)
    assert_partial(part)
    assert part.calls <= calls + STATIC.walkers * (STATIC.walks + 1) * 2
    done = sum(batches)
    batches.clear()
    with within(120):
        resumed = run_nested(KNOWN.problem, None, longer, seed=1, checkpoint=file, resume=True)
    assert sum(batches) < 25_000
    assert done + sum(batches) > calls + 15_000
    assert len(resumed.z) > len(part.z)
    assert abs(resumed.log_evidence - KNOWN.log_evidence) < 4 * resumed.log_evidence_error


@pytest.mark.parametrize("settings", [STATIC, DYNAMIC], ids=["static", "dynamic"])
def test_time_limit_is_kept_to(settings, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(nested, "time", types.SimpleNamespace(monotonic=lambda: now[0]))
    run = Kernel.run

    def slow(self, *args, **kwargs):
        now[0] += 1.0
        return run(self, *args, **kwargs)

    monkeypatch.setattr(Kernel, "run", slow)
    # Whole runs take 67 (static) or many hundred (dynamic) calls of the kernel, a second each by this clock.
    for limit in (20.0, 85.0):
        now[0] = 0.0
        run_ended = run_nested(KNOWN.problem, None, dataclasses.replace(settings, max_seconds=limit), seed=1)
        if settings.dynamic or limit == 20.0:
            assert_partial(run_ended)
        # dynesty draws the live points of a new batch in one go, and nobody is asked meanwhile.
        assert now[0] <= limit + 2.0 + (settings.nlive / settings.walkers if settings.dynamic else 0.0)


BAD = {
    "noise": lambda good: np.random.default_rng(0).bytes(1000),
    "empty": lambda good: b"",
    "truncated": lambda good: good[: len(good) // 2],
    "text": lambda good: b"hello world\n",
    "pickle of a list": lambda good: pickle.dumps([1, 2]),
    "pickle of a dictionary": lambda good: pickle.dumps({"a": 1}),
    "pickle of a string": lambda good: pickle.dumps("x"),
    "no sampler": lambda good: pickle.dumps({"sampler": None, "version": "3", "format_version": 1}),
    "a flipped byte": lambda good: good[:500] + bytes([good[500] ^ 255]) + good[501:],
}


@pytest.fixture(scope="module")
def half_done(tmp_path_factory) -> bytes:
    """The checkpoint of a run that was interrupted."""
    file = tmp_path_factory.mktemp("half") / "checkpoint"
    run_nested(KNOWN.problem, None, dataclasses.replace(STATIC, max_calls=5000), seed=1, checkpoint=file)
    return file.read_bytes()


@pytest.mark.parametrize("damage", BAD)
def test_damaged_checkpoint_is_one_clear_sentence(tmp_path, half_done, damage):
    file = tmp_path / "checkpoint.dynesty"
    file.write_bytes(BAD[damage](half_done))
    with pytest.raises(InputError) as caught, within(60):
        run_nested(KNOWN.problem, None, STATIC, seed=1, checkpoint=file, resume=True)
    sentence = str(caught.value)
    assert str(file) in sentence
    assert "\n" not in sentence
    assert ". " not in sentence, "one sentence"


FOREIGN = {
    "other dimension": (analytic.correlated_gaussian(5).problem, None, STATIC),
    "other galaxy": (analytic.student_arms(4).problem, None, STATIC),
    "other start": (KNOWN.problem, laplace_mixture(KNOWN.modes), dataclasses.replace(STATIC, start="repartitioned")),
    "dynamic": (KNOWN.problem, None, DYNAMIC),
    "other number of live points": (KNOWN.problem, None, dataclasses.replace(STATIC, nlive=100)),
    "other walks": (KNOWN.problem, None, dataclasses.replace(STATIC, walks=40)),
}


@pytest.mark.parametrize("case", FOREIGN)
def test_checkpoint_of_another_run_is_refused(tmp_path, half_done, case):
    file = tmp_path / "checkpoint.dynesty"
    file.write_bytes(half_done)
    problem, mixture, settings = FOREIGN[case]
    with pytest.raises(InputError) as caught, within(60):
        run_nested(problem, mixture, settings, seed=1, checkpoint=file, resume=True)
    assert str(file) in str(caught.value)


def wait_for(condition, child: subprocess.Popen, seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert child.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < end
        time.sleep(0.05)


def kill(child: subprocess.Popen) -> None:
    child.send_signal(signal.SIGKILL)
    child.wait(timeout=60)


def run_slowly() -> None:
    """What the subprocess below does: a run too slow to end before it is killed, with ten checkpoints a second."""
    nested.CHECKPOINT_SECONDS = 0.1
    run = Kernel.run

    def slow(self, *args, **kwargs):
        time.sleep(0.1)
        return run(self, *args, **kwargs)

    Kernel.run = slow
    run_nested(KNOWN.problem, None, STATIC, seed=1, checkpoint=Path(sys.argv[1]))


@pytest.mark.slow
def test_killed_run_resumes_into_the_uninterrupted_one(tmp_path, batches):
    file = tmp_path / "checkpoint"
    here = Path(__file__)
    code = f"import sys; sys.path.insert(0, {str(here.parent)!r}); import test_checkpoint; test_checkpoint.run_slowly()"
    environment = {**os.environ, "JAX_ENABLE_X64": "1", "JAX_PLATFORMS": "cpu"}
    with subprocess.Popen([sys.executable, "-c", code, file], env=environment) as child:
        written = set()

        def often() -> bool:
            if file.exists():
                written.add(file.stat().st_mtime_ns)
            return len(written) > 10

        wait_for(often, child)
        kill(child)
    whole = run_nested(KNOWN.problem, None, STATIC, seed=1)
    needed = len(batches)
    batches.clear()
    assert_same(run_nested(KNOWN.problem, None, STATIC, seed=1, checkpoint=file, resume=True), whole)
    # Of ten checkpoints, a tenth of a second apart, nearly every one holds another batch of walks.
    assert len(batches) <= needed - 5


SHORT_INTERVAL = (
    "import galfit_sr.inference.nested as n; n.CHECKPOINT_SECONDS = 0.5; import galfit_sr.cli as c; c.main()"
)


@pytest.mark.slow
def test_killed_command_resumes_at_any_moment(tmp_path):
    galaxy, folder, untouched = (tmp_path / name for name in ("galaxy.fits", "run", "untouched"))
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}

    def command(*arguments: object) -> list[str]:
        return [sys.executable, "-c", SHORT_INTERVAL, *map(str, arguments)]

    def check(*arguments: object) -> dict:
        done = subprocess.run(command(*arguments), env=environment, capture_output=True, text=True, timeout=900)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    small = ("--canvas", 12, "--fidelity", "point", "--fibres", 19, "--components", "disc1,halo")
    check("mock", *small, "--out", galaxy, "--json")
    config = tmp_path / "fit.toml"
    config.write_text('[model]\ncomponents = ["disc1", "halo"]\nfidelity = "point"\n[sampler]\ndlogz = 0.001\n')
    fit = ("fit", galaxy, "--config", config, "--nlive", 200, "--seed", 1, "--json", "--out")
    resume = ("fit", "--resume", "--json", "--out", folder)

    def killed(arguments: tuple[object, ...], moment) -> None:
        with subprocess.Popen(
            command(*arguments), env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as child:
            wait_for(moment, child)
            kill(child)

    def checkpoints() -> set[tuple[str, int]]:
        return {(p.name, p.stat().st_mtime_ns) for p in folder.glob("checkpoint.dynesty")}

    # During the first answer, before anything is sampled, at the first checkpoint, and, resumed, at a later one.
    killed((*fit, folder), (folder / "config.toml").exists)
    assert not (folder / "checkpoint.answer.npz").exists()
    killed(resume, (folder / "checkpoint.answer.npz").exists)
    assert not checkpoints()
    killed(resume, checkpoints)
    before = checkpoints()
    killed(resume, lambda: checkpoints() - before)
    resumed = check(*resume)
    assert resumed["converged"]
    assert not list(folder.glob("checkpoint*")), "a finished run needs no checkpoint"

    whole = check(*fit, untouched)
    error = np.hypot(whole["log_evidence_error"], resumed["log_evidence_error"])
    assert abs(whole["log_evidence"] - resumed["log_evidence"]) < 3 * error
    for name, summary in whole["parameters"].items():
        # Two estimates of a mean from about 300 effective samples each differ by a tenth of the spread.
        assert abs(summary["mean"] - resumed["parameters"][name]["mean"]) < 0.5 * summary["std"], name
