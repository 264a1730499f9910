"""One sampling from beginning to end; what was done is not done again.

First answer, straightening of sharp ridges, bending, sampler: each starts from what the last one found. What the bent
Gaussians do not reach would hold few live points, and its share of the posterior scatter by more than its weights tell
(docs/measured.md).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ..progress import Progress
from .answer import FirstAnswer, find_answer
from .checkpoint import Checkpoints, load_answer, save_answer
from .limits import remaining
from .mixture import laplace_mixture
from .nested import Nested, run_nested
from .nss import Nss, run_nss
from .nuts import Nuts, run_nuts
from .problem import Problem
from .ridge import bent_back
from .sampled import Sampled
from .samplers import Sampler
from .straightening import straightened
from .variational import bend


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
    settings: Sampler,
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
        settings: of the sampler; its limits count from here, the first answer is made in any case.
        seed: of every random number.
        files: checkpoints; none are written if not given.
        resume: go on from them.
        candidates: (n, ndim) latent positions from which the first answer is searched; see `find_modes`.
        progress: called with a phrase, the share that is done (None if unknown) and a few words.
        announce: called with the first answer, before sampling.
    """
    began = time.monotonic()
    seconds: dict[str, float] = {}

    def spent(part: str) -> None:
        seconds[part] = time.monotonic() - began - sum(seconds.values())

    stored = load_answer(files) if resume and files is not None else None
    if stored is not None:
        problem, straight, mixture, calls = stored.applied(problem)
        spent("first answer")
    else:
        answer = find_answer(problem, seed, progress, candidates)
        if announce is not None:
            announce(answer)
        problem = straight = answer.problem
        mixture, calls = laplace_mixture(answer.modes), answer.calls
        spent("first answer")
        if isinstance(settings, Nuts) or settings.start == "repartitioned":
            straight, modes, looks = straightened(problem, answer.modes, part_seed(seed, 3), progress)
            mixture, more = bend(straight, modes, part_seed(seed, 1), progress)
            calls += looks + more
            spent("bending")
        if files is not None:
            save_answer(files, straight, mixture, calls)
    left = remaining(settings, sum(seconds.values()), calls)
    run_with, part = _RUNS[type(settings)]
    run = run_with(
        straight,
        mixture,
        left,
        seed,
        progress=progress,
        checkpoint=None if files is None else files.sampler,
        resume=resume,
    )
    run = bent_back(straight, run)
    spent(part)
    return Stage(problem, run, calls + run.calls, seconds)


_RUNS: dict[type, tuple[Callable[..., Sampled], str]] = {
    Nested: (run_nested, "nested sampling"),
    Nuts: (run_nuts, "NUTS"),
    Nss: (run_nss, "nested slice sampling"),
}
"""What runs with which settings, and what its time is called."""


def part_seed(seed: int, part: int) -> int:
    """A seed for one part of a run.

    A nested run whose proposal was made from random draws must have random numbers of its own: with the same ones, and
    100 live points, its log evidence was too low by a whole error (docs/measured.md).
    """
    return int(np.random.SeedSequence((seed, part)).generate_state(1)[0])
