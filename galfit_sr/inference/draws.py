"""The plain draws that a nested run begins with.

While more than one in so many draws lies above the threshold as a walk takes likelihoods, draws are cheaper than walks,
and exact. So a run begins with that many for each of its live points. The lowest die, and are not replaced until as
many are left as there are to be live points: a nested run may have any number of them at any time (Higson et al. 2019,
Stat. Comput. 29, 891). Below, it knows as much as importance sampling with all draws would; walks are for what few of
them reach.
"""

from __future__ import annotations

import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .checkpoint import load_state, save_state
from .engine import Engine
from .points import Points, nobody, plain
from .problem import CHUNK
from .stopwatch import Stopwatch

CHECKPOINT_SECONDS = 30.0


class _Drawn(NamedTuple):
    v: np.ndarray
    value: np.ndarray


def draw(
    engine: Engine,
    wanted: int,
    seed: int,
    stops: Callable[[Points], bool],
    checkpoint: Path | None = None,
    resume: bool = False,
) -> Points:
    """Draws from q, in whole batches.

    Args:
        engine: of the run; its clock goes on from what it showed when the draws were interrupted.
        wanted: how many, at least.
        seed: of the draws.
        stops: told of the draws after every batch; whether they have to do.
        checkpoint: file that keeps them, written every half minute and in the end.
        resume: go on from it if it holds draws.

    Raises:
        InputError: the checkpoint is damaged, or that of another run.
    """
    drawn = _Drawn(*nobody(engine.dimensions)[:2])
    if resume and checkpoint is not None and holds_draws(checkpoint):
        _, drawn, before = load_state(checkpoint, engine.mark, (), _Drawn)
        engine.watch = Stopwatch(before)
    points, saved = plain(*drawn), time.monotonic()
    ends = drawn.value.size >= wanted
    while not ends:
        rng = np.random.default_rng((seed, drawn.value.size))
        v = engine.transform(rng.random((CHUNK, engine.dimensions)))
        value = engine.log_likelihoods(v[:, :-2])
        drawn = _Drawn(np.concatenate([drawn.v, v]), np.concatenate([drawn.value, value]))
        points = plain(*drawn)
        ends = stops(points) or drawn.value.size >= wanted
        if checkpoint is not None and (ends or time.monotonic() - saved > CHECKPOINT_SECONDS):
            save_state(checkpoint, engine.mark, (), drawn, engine.watch.seconds)
            saved = time.monotonic()
    return points


def holds_draws(checkpoint: Path) -> bool:
    """Whether a checkpoint is there that was written before the first walk."""
    return zipfile.is_zipfile(checkpoint)
