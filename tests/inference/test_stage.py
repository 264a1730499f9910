"""A sampling in parts: first answer, bending, sampler; limits that end it in any of them, and going on."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from same_run import assert_same

from galfit_sr.inference import stage
from galfit_sr.inference.checkpoint import Checkpoints
from galfit_sr.inference.fit import pose
from galfit_sr.inference.limits import remaining
from galfit_sr.inference.nested import Nested
from galfit_sr.inference.problem import CHUNK
from galfit_sr.inference.stage import Stage, sample
from galfit_sr.model.galaxy import GalaxyModel
from galfit_sr.model.grid import Canvas
from galfit_sr.observations.mock import MOCK_TRUTH, make_mock

MODEL = GalaxyModel(components=("disc1", "halo"), canvas=Canvas(8, 5.0), fidelity="point")
GALAXY = make_mock(MOCK_TRUTH, model=MODEL, fibres=0, seed=1)
SETTINGS = Nested(nlive=120, walks=20, dlogz=0.01)


def sampled(settings: Nested = SETTINGS, **how) -> Stage:
    return sample(pose(GALAXY, model=MODEL), settings, seed=3, **how)


@pytest.fixture(scope="module")
def whole() -> Stage:
    return sampled()


def assert_same_stage(stage: Stage, other: Stage) -> None:
    assert stage.calls == other.calls
    assert_same(stage.sampled, other.sampled)


def test_calls_are_those_of_all_parts(whole):
    assert whole.sampled.converged
    assert list(whole.seconds) == ["first answer", "bending", "nested sampling"]
    # Besides the sampling there are the searches, and at least two rounds with an expansion from 513 places.
    assert whole.calls > whole.sampled.calls + 2 * (513 + 1024)


def test_a_limit_ends_it_and_it_goes_on(whole, tmp_path):
    limit = whole.calls - whole.sampled.calls // 2
    part = sampled(dataclasses.replace(SETTINGS, max_calls=limit), files=Checkpoints(tmp_path))
    assert not part.sampled.converged
    # Draws of one more call than allowed, and walks where those have become too few.
    assert limit < part.calls <= limit + CHUNK + SETTINGS.walkers * (SETTINGS.walks + 1)
    assert np.sum(np.exp(part.sampled.log_weights)) == pytest.approx(1)

    announced: list[object] = []
    on = sampled(files=Checkpoints(tmp_path), resume=True, announce=announced.append)
    assert_same_stage(on, whole)
    assert not announced, "the first answer is not made again"
    # Nor is anything else: the time is that of both sessions.
    *before, sampling = part.seconds.items()
    *same, all_of_it = on.seconds.items()
    assert same == before
    assert all_of_it[0] == sampling[0] == "nested sampling"
    # dynesty writes its state half a minute apart and at the end.
    assert all_of_it[1] > 0.9 * sampling[1]


@pytest.fixture
def doubled(monkeypatch):
    """A first answer that takes one mode for two, a standard deviation apart."""
    find = stage.find_answer

    def found(*args, **kwargs):
        answer = find(*args, **kwargs)
        mode = answer.modes[0]
        aside = mode.z + np.linalg.cholesky(mode.covariance) @ np.full(mode.z.size, mode.z.size**-0.5)
        return dataclasses.replace(answer, modes=(mode, dataclasses.replace(mode, z=aside)))

    monkeypatch.setattr(stage, "find_answer", found)


def test_of_several_runs_each_is_gone_on_with(whole, doubled, tmp_path):
    told: list[tuple[str, float | None, str]] = []
    both = sampled(progress=lambda *words: told.append(words))
    off = both.sampled.log_evidence - whole.sampled.log_evidence
    assert abs(off) < 4 * np.hypot(both.sampled.log_evidence_error, whole.sampled.log_evidence_error)
    shares = [share for phrase, share, words in told if phrase == "nested sampling"]
    assert any(words.startswith("2 of 2: ") for _, _, words in told)
    assert max(shares) <= 1
    assert np.all(np.diff(shares) > -0.5), "the second run does not begin anew"

    # A limit in the second of them.
    limit = both.calls - both.sampled.calls // 5
    part = sampled(dataclasses.replace(SETTINGS, max_calls=limit), files=Checkpoints(tmp_path))
    assert not part.sampled.converged
    assert limit < part.calls <= limit + max(SETTINGS.walkers * (SETTINGS.walks + 1), CHUNK)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "checkpoint.2.dynesty",
        "checkpoint.answer.npz",
        "checkpoint.dynesty",
    ]
    assert_same_stage(sampled(files=Checkpoints(tmp_path), resume=True), both)
    # In the first: what follows is a partial result as well.
    early = sampled(dataclasses.replace(SETTINGS, max_calls=both.calls - both.sampled.calls + 2000))
    assert not early.sampled.converged
    assert np.isfinite(early.sampled.log_evidence)
    assert np.sum(np.exp(early.sampled.log_weights)) == pytest.approx(1)


def test_from_the_prior_nothing_is_bent():
    stage = sampled(Nested(nlive=60, walks=5, start="prior", max_calls=30_000))
    assert list(stage.seconds) == ["first answer", "nested sampling"]


def test_limits_that_are_spent_end_the_next_part_at_once():
    limits = remaining(Nested(max_seconds=10, max_calls=1000), 4, 300)
    assert (limits.max_seconds, limits.max_calls) == (6, 700)
    spent = remaining(Nested(max_seconds=10, max_calls=1000), 40, 3000)
    assert 0 < spent.max_seconds < 0.01
    assert spent.max_calls == 1
    assert remaining(Nested(), 40, 3000) == Nested()
