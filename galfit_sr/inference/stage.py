"""One sampling from beginning to end: first answer, pilot chain, nested sampling; what was done is not done again."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ..progress import Progress
from .answer import FirstAnswer, find_answer
from .checkpoint import Checkpoints, load_answer, save_answer
from .mixture import laplace_mixture
from .nested import Nested, run_nested
from .pilot import broaden
from .problem import Problem
from .sampled import Sampled


class Stage(NamedTuple):
    """What a sampling found.

    Attributes:
        problem: cut between its modes.
        sampled: the samples.
        calls: evaluations of the likelihood, those of the first answer included.
        seconds: name of a part -> what it took.
    """

    problem: Problem
    sampled: Sampled
    calls: int
    seconds: dict[str, float]


def sample(
    problem: Problem,
    settings: Nested,
    seed: int,
    *,
    files: Checkpoints | None = None,
    resume: bool = False,
    candidates: np.ndarray | None = None,
    progress: Progress | None = None,
    announce: Callable[[FirstAnswer], None] | None = None,
) -> Stage:
    """The posterior of a problem.

    Args:
        problem: the galaxy.
        settings: of the sampler; its limit on time counts from here, the first answer is made in any case.
        seed: of every random number.
        files: checkpoints; none are written if not given.
        resume: go on from them.
        candidates: (n, ndim) latent positions from which the first answer is searched; see `find_modes`.
        progress: called with a phrase, the share that is done (None if unknown) and a few words.
        announce: called with the first answer, before sampling.
    """
    began = time.monotonic()
    stored = load_answer(files) if resume and files is not None else None
    if stored is None:
        answer = find_answer(problem, seed, progress, candidates)
        problem, modes, calls = answer.problem, answer.modes, answer.calls
        if announce is not None:
            announce(answer)
        if settings.start == "repartitioned":
            if progress is not None:
                progress("pilot chain", None, "")
            modes, more = broaden(problem, modes, seed, settings.walkers, settings.walks)
            calls += more
        mixture = laplace_mixture(modes)
        if files is not None:
            save_answer(files, problem, mixture, calls)
    else:
        problem, mixture, calls = stored.applied(problem)
    answered = time.monotonic()
    run = run_nested(
        problem,
        mixture,
        remaining(settings, answered - began),
        seed,
        progress=progress,
        checkpoint=None if files is None else files.sampler,
        resume=resume,
    )
    seconds = {"first answer": answered - began, "nested sampling": time.monotonic() - answered}
    return Stage(problem, run, calls + run.calls, seconds)


def remaining(settings: Nested, seconds: float) -> Nested:
    """The settings, after so many seconds of their limit on time are spent."""
    if settings.max_seconds is None:
        return settings
    return dataclasses.replace(settings, max_seconds=max(settings.max_seconds - seconds, 1e-3))
