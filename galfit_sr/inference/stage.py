"""One sampling from beginning to end; what was done is not done again.

First answer, pilot chain, short nested run, nested sampling: each starts from what the last one found. What the
Gaussians of the pilot chain do not reach would hold few live points, and its share of the posterior scatter by more
than is reported; the Gaussians fitted to the short run's samples put live points there (docs/measured.md).
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ..progress import Progress
from .answer import FirstAnswer, find_answer
from .checkpoint import Checkpoints, load_answer, save_answer
from .limits import remaining
from .mixture import Mixture, fit_mixture, laplace_mixture
from .nested import Nested, run_nested
from .nss import Nss, run_nss
from .nuts import Nuts, run_nuts
from .pilot import broaden
from .problem import Problem
from .sampled import Sampled
from .samplers import Sampler
from .statistics import equal_weight_rows


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

    first = None if files is None else files.part("first")
    stored, early = ((load_answer(f) if resume and f is not None else None) for f in (files, first))
    if stored is not None:
        problem, mixture, calls = stored.applied(problem)
    else:
        if early is not None:
            problem, mixture, calls = early.applied(problem)
        else:
            answer = find_answer(problem, seed, progress, candidates)
            if announce is not None:
                announce(answer)
            problem, mixture, calls = _around(answer, settings, seed, progress)
            if first is not None:
                save_answer(first, problem, mixture, calls)
        spent("first answer")
        if not isinstance(settings, Nuts) and settings.start == "repartitioned":
            short = dataclasses.replace(_preparing(settings), nlive=min(_SHORT, settings.nlive), dynamic=False)
            run = run_nested(
                problem,
                mixture,
                remaining(short, sum(seconds.values()), calls),
                part_seed(seed, 1),
                progress=None if progress is None else lambda _, *more: progress("short nested run", *more),
                checkpoint=None if first is None else first.sampler,
                resume=resume,
            )
            spent("short nested run")
            calls += run.calls
            if not run.converged:
                return Stage(problem, run, calls, seconds)
            mixture = _described(run, seed)
        if files is not None:
            save_answer(files, problem, mixture, calls)
    left = remaining(settings, sum(seconds.values()), calls)
    run_with, part = _RUNS[type(settings)]
    run = run_with(
        problem,
        mixture,
        left,
        seed,
        progress=progress,
        checkpoint=None if files is None else files.sampler,
        resume=resume,
    )
    spent(part)
    return Stage(problem, run, calls + run.calls, seconds)


_RUNS: dict[type, tuple[Callable[..., Sampled], str]] = {
    Nested: (run_nested, "nested sampling"),
    Nuts: (run_nuts, "NUTS"),
    Nss: (run_nss, "nested slice sampling"),
}
"""What runs with which settings, and what its time is called."""

_SHORT, _DRAWS = 100, 1500
"""Live points of the short run, and the draws from it that the mixture is fitted to."""


def _around(
    answer: FirstAnswer, settings: Sampler, seed: int, progress: Progress | None
) -> tuple[Problem, Mixture, int]:
    """The problem cut between its modes, Gaussians around them, and the likelihoods that they took."""
    modes, calls = answer.modes, answer.calls
    if isinstance(settings, Nuts) or settings.start == "repartitioned":
        if progress is not None:
            progress("pilot chain", None, "")
        walks = _preparing(settings)
        modes, more = broaden(answer.problem, modes, seed, walks.walkers, walks.walks)
        calls += more
    return answer.problem, laplace_mixture(modes), calls


def _preparing(settings: Sampler) -> Nested:
    """The nested sampler whose walks prepare the start of any sampler, within the same limits."""
    if isinstance(settings, Nested):
        return settings
    return Nested(max_seconds=settings.max_seconds, max_calls=settings.max_calls)


def _described(run: Sampled, seed: int) -> Mixture:
    """The mixture that describes the samples of a run best."""
    rows, counts = np.unique(equal_weight_rows(np.exp(run.log_weights), _DRAWS, seed), return_counts=True)
    return fit_mixture(run.z[rows], counts / _DRAWS, seed)


def part_seed(seed: int, part: int) -> int:
    """A seed for one part of a run.

    A nested run whose proposal was made from the samples of another must have random numbers of its own: with the same
    ones, and 100 live points, its log evidence was too low by a whole error (docs/measured.md).
    """
    return int(np.random.SeedSequence((seed, part)).generate_state(1)[0])
