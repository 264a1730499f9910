"""One sampling from beginning to end; what was done is not done again.

First answer, straightening of sharp ridges, bending, sampler: each starts from what the last one found, for every part
of the posterior by itself. What the bent Gaussians do not reach would hold few live points, and its share of the
posterior scatter by more than its weights tell (docs/measured.md).
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ..progress import Progress, one_of
from ..seeds import own_seed, part_seed
from .answer import FirstAnswer, find_answer
from .checkpoint import Checkpoints, load_answer, save_answer
from .coverage import covering
from .limits import remaining
from .mixture import laplace_mixture
from .nested import Nested, run_nested
from .nss import Nss, run_nss
from .nuts import Nuts, run_nuts
from .problem import Problem
from .ridge import bent_back
from .sampled import Sampled, joined
from .samplers import Sampler
from .straightening import straightened
from .strata import Start, Stratum, rivals_of
from .variational import bend


class Stage(NamedTuple):
    """What a sampling found.

    Attributes:
        problem: cut between its modes.
        sampled: the samples.
        calls: evaluations of the likelihood, those of the first answer included.
        seconds: name of a part -> what it took, in all sessions.
        previewed: whether the samples are those of a `Preview`.
    """

    problem: Problem
    sampled: Sampled
    calls: int
    seconds: dict[str, float]
    previewed: bool = False


class Preview(NamedTuple):
    """What a first answer promises.

    Attributes:
        instead: samples to be content with; None if it is worth while to sample.
        calls: evaluations of any likelihood that it took.
    """

    instead: Sampled | None
    calls: int


def sample(
    problem: Problem,
    settings: Sampler,
    seed: int,
    *,
    files: Checkpoints | None = None,
    resume: bool = False,
    candidates: np.ndarray | None = None,
    progress: Progress | None = None,
    announce: Callable[[FirstAnswer], None] | None = None,
    preview: Callable[[FirstAnswer], Preview] | None = None,
) -> Stage:
    """The posterior of a problem.

    Args:
        problem: the galaxy.
        settings: of the sampler; its limits count from here, the first answer is made in any case.
        seed: of every random number.
        files: checkpoints; none are written if not given.
        resume: go on from them.
        candidates: (n, ndim) latent positions from which the first answer is searched; see `find_modes`.
        progress: called with a phrase, the share that is done (None if unknown) and a few words.
        announce: called with the first answer, before sampling.
        preview: called with the first answer after that, and may make do with it.
    """
    began = time.monotonic()
    stored = load_answer(files, problem) if resume and files is not None else None
    if stored is not None:
        problem, start = stored
    else:
        answer = find_answer(problem, seed, progress, candidates)
        if announce is not None:
            announce(answer)
        problem = answer.problem
        seen = Preview(None, 0) if preview is None else preview(answer)
        seconds = {"first answer": time.monotonic() - began}
        calls = answer.calls + seen.calls
        if seen.instead is not None:
            return Stage(problem, seen.instead, calls, seconds, previewed=True)
        start = _start(answer, settings, seed, progress)
        if start.calls:
            seconds["bending"] = time.monotonic() - began - seconds["first answer"]
        start = start._replace(calls=start.calls + calls, seconds=seconds)
        if files is not None:
            save_answer(files, start)
    run_with, part = _RUNS[type(settings)]
    runs: list[Sampled] = []
    for number, (stratum, rivals) in enumerate(zip(start.strata, rivals_of(start.strata), strict=True)):
        left = remaining(settings, time.monotonic() - began, start.calls + sum(run.calls for run in runs))
        run = run_with(
            *stratum,
            left if isinstance(left, Nuts) else left.one_of(len(start.strata)),
            own_seed(seed, number),
            **({} if rivals is None else {"rivals": rivals}),
            progress=one_of(progress, number, len(start.strata)),
            checkpoint=None if files is None else files.sampler(number),
            resume=resume,
        )
        runs.append(bent_back(stratum.problem, run))
    run = joined(runs)
    if not math.isnan(start.uncovered):
        run = dataclasses.replace(run, diagnostics={**run.diagnostics, "uncovered": start.uncovered})
    return Stage(problem, run, start.calls + run.calls, {**start.seconds, part: run.seconds})


def _start(answer: FirstAnswer, settings: Sampler, seed: int, progress: Progress | None) -> Start:
    """Where a sampler's runs start; of calls, those on the way from the first answer."""
    problem, modes = answer.problem, answer.modes
    if isinstance(settings, Nuts):
        # Chains walk in one set of coordinates.
        straight, modes, looks = straightened(problem, modes, part_seed(seed, 3), progress)
        bent = bend(straight, modes, part_seed(seed, 1), progress)
        return Start((Stratum(straight, bent.mixture),), looks + bent.calls)
    if settings.start == "prior":
        return Start((Stratum(problem, laplace_mixture(modes)),), 0)
    return covering(problem, modes, seed, progress)


_RUNS: dict[type, tuple[Callable[..., Sampled], str]] = {
    Nested: (run_nested, "nested sampling"),
    Nuts: (run_nuts, "NUTS"),
    Nss: (run_nss, "nested slice sampling"),
}
"""What runs with which settings, and what its time is called."""
