"""What dynesty is given: the likelihood, prior and batched kernel of one galaxy, behind its public interfaces."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

import jax.numpy as jnp
import numpy as np
from dynesty.internal_samplers import InternalSampler, SamplerReturn
from scipy.special import ndtr

from .checkpoint import mark_of
from .points import Points
from .problem import CHUNK, Problem, batch_log_likelihood, log_likelihoods
from .proposal import batch_log_ratio, from_cube, log_ratio
from .stopwatch import Stopwatch
from .walk import FIRST_SCALE, Kernel, differences, steered


class ForeignCheckpoint(Exception):
    """A checkpoint of another problem."""


class Engine:
    """The likelihood, prior and kernel that dynesty is given: one galaxy, bound to jitted functions.

    dynesty pickles what it was given. An engine pickles as a mere mark and the time it was in use, and unpickles as the
    engine that was rebuilt for the same problem (see `stands_in`): compiled functions never enter a checkpoint.
    """

    def __init__(self, problem: Problem, kernel: Kernel, identity: str) -> None:
        """Args: the galaxy, its kernel, and whatever else two runs that are the same have in common."""
        self.problem, self.kernel = problem, kernel
        self.mark = mark_of(f"{problem.target!r} {identity}", problem.arrays, kernel.proposal)
        self.dtype = problem.arrays.shift.dtype
        self.size = kernel.walkers
        self.watch = Stopwatch()

    def __reduce__(self) -> tuple[Callable[[str, Stopwatch], Engine], tuple[str, Stopwatch]]:
        return _live_engine, (self.mark, self.watch)

    @property
    def dimensions(self) -> int:
        """Of a point as dynesty holds it: the latent vector, its colour, see `Walks`, and its family, see `lineage`."""
        return self.problem.target.ndim + 2

    def transform(self, u: np.ndarray) -> np.ndarray:
        """Draws (..., ndim + 2) from q, out of the unit cube: each founds a family, named by a random number."""
        z = from_cube(self.kernel.proposal, u[..., :-1])
        family = u[..., -1:]
        return np.concatenate([z, np.round(family), family], axis=-1)

    def log_likelihood(self, v: np.ndarray) -> float:
        """log(L pi/q), offset included, of what `transform` gave."""
        z = jnp.asarray(v[None, :-2], self.dtype)
        likelihood = batch_log_likelihood(self.problem.target, z, self.problem.arrays)
        return float(likelihood[0]) + self.problem.offset - float(batch_log_ratio(self.kernel.proposal, z)[0])

    def log_likelihoods(self, z: np.ndarray) -> np.ndarray:
        """log(L pi/q), offset included, of latent vectors (m, ndim)."""
        return log_likelihoods(self.problem, z) + self.problem.offset - self.log_ratio(z)

    def log_ratio(self, z: np.ndarray) -> np.ndarray:
        """log(q/pi) of latent vectors (m, ndim)."""
        return log_ratio(self.kernel.proposal, z)

    def map(self, function: Callable[[Any], Any], arguments: Any) -> list[Any]:
        """What dynesty expects of a pool; the work of a queue was already done, in one call, by `Walks`."""
        return [function(argument) for argument in arguments]


_LEAST_SHARE = 0.25
_INSIDE = np.finfo(float).tiny, 1 - np.finfo(float).epsneg
"""Of the unit cube: dynesty ends a run that holds a point on its surface, where the prior rounds to at 8.3 sigma."""


class Walks(InternalSampler):
    """dynesty's door to the kernel: all walks of a queue run in one compiled call.

    In dynamic runs, while more than one in `walks` draws from q lies above the threshold, plain draws are cheaper than
    walks, and exact; static ones begin with all of these, see `draws`.

    Live points have one of two colours. A walk steps by differences of points of the other colour, and the new point
    takes that of its start: a walker must not step by its own relatives. A point alone in an arm of the region would
    bring along the steps that lead out of the arm, nobody else those that lead in, the live points drift to higher
    likelihoods and the evidence comes out too high (docs/measured.md). The dead of both colours are replaced by walks
    from any live point, so that their numbers drift; when one has become rare the colours are dealt again.
    """

    def __init__(self, engine: Engine, fallen: Points, drawing: bool = False, **kwargs: Any) -> None:
        """Args: of the run, those of its points that died before the first walk, and whether to draw at first."""
        super().__init__(engine=engine, fallen=fallen, drawing=drawing, **kwargs)
        self.engine, self.fallen, self._drawing = engine, fallen, drawing
        self.scale = FIRST_SCALE
        self.accepted, self.walked = 0.0, 0
        self._pending: list[float] = []
        self._drawn: list[SamplerReturn] = []
        self._floor, self._owed = -np.inf, 0

    def prepare_sampler(
        self,
        loglstar: float,
        points: list[np.ndarray],
        axes: list[np.ndarray],
        seeds: list[Any],
        prior_transform: Any = None,
        loglikelihood: Any = None,
        nested_sampler: Any = None,
    ) -> list[SamplerReturn]:
        """Draws or walks; dynesty's `sample` only hands over the results."""
        rng = np.random.default_rng(seeds[0])
        count = self.engine.kernel.walkers
        if loglstar < self._floor:
            # A batch of a dynamic run starts lower than the last: what was kept lies too high.
            self._drawn = []
        self._floor = loglstar
        ready: list[SamplerReturn] = []
        while self._drawing and not ready:
            self._drawn = [drawn for drawn in self._drawn if drawn.logl > loglstar]
            if len(self._drawn) >= count:
                ready, self._drawn = self._drawn[:count], self._drawn[count:]
            else:
                self._drawn += self._draw(rng, loglstar)
        ready = ready or self._walk(rng, loglstar, nested_sampler)
        ready[0] = ready[0]._replace(ncalls=ready[0].ncalls + self._owed)
        self._owed = 0
        return ready

    def _draw(self, rng: np.random.Generator, loglstar: float) -> list[SamplerReturn]:
        """Those above the threshold of a chunk of draws from q; the last chunk if they have become too few."""
        engine = self.engine
        drawn = engine.transform(rng.random((CHUNK, engine.dimensions)))
        values = engine.log_likelihoods(drawn[:, :-2])
        above = np.flatnonzero(values > loglstar)
        self._drawing = len(above) * engine.kernel.calls > CHUNK
        self._owed += CHUNK
        return [_returned(drawn[i], values[i], 0, None) for i in above]

    def _walk(self, rng: np.random.Generator, loglstar: float, nested_sampler: Any) -> list[SamplerReturn]:
        kernel, offset = self.engine.kernel, self.engine.problem.offset
        live, colours = nested_sampler.live_v[:, :-2], nested_sampler.live_v[:, -2]
        if min(np.sum(colours == 0), np.sum(colours == 1)) < _LEAST_SHARE * len(live):
            colours[:] = rng.permutation(len(live)) % 2
        start = rng.choice(np.flatnonzero(nested_sampler.live_logl > loglstar), kernel.walkers)
        steps = np.empty((kernel.walkers, kernel.walks, live.shape[1]))
        for colour in (0, 1):
            mine = colours[start] == colour
            others = live[colours != colour]
            # Too few differences would not span the space.
            steps[mine] = differences(rng, others if len(others) > live.shape[1] else live, np.sum(mine), kernel.walks)
        walked = kernel.run(
            rng,
            live[start],
            steps,
            threshold=loglstar - offset,
            scale=self.scale,
        )
        reached = nested_sampler.live_v[start]
        reached[:, :-2] = walked.z
        return [
            _returned(v, value + offset, kernel.calls, {"accepted": accepted})
            for v, value, accepted in zip(reached, walked.log_likelihood, walked.accepted, strict=True)
        ]

    @staticmethod
    def sample(args: SamplerReturn) -> SamplerReturn:
        """Already sampled."""
        return args

    def tune(self, tuning_info: dict[str, float], update: bool = True) -> None:
        """Steers the steps towards an acceptance of a quarter."""
        self._pending.append(tuning_info["accepted"])
        self.accepted += tuning_info["accepted"]
        self.walked += 1
        if update:
            self.scale = steered(self.scale, self.engine.kernel.acceptance(np.array(self._pending)))
            self._pending.clear()


def in_cube(v: np.ndarray) -> np.ndarray:
    """Places in the unit cube of points (..., ndim + 2), as the prior has them: dynesty wants to know, we do not."""
    return np.concatenate([np.full_like(v[..., :1], 0.5), np.clip(ndtr(v[..., :-2]), *_INSIDE), v[..., -1:]], axis=-1)


def _returned(v: np.ndarray, value: float, calls: int, tuning: dict[str, float] | None) -> SamplerReturn:
    """A new point as dynesty takes it."""
    return SamplerReturn(
        u=in_cube(v),
        v=v,
        logl=value,
        ncalls=calls,
        evaluation_history=[],
        tuning_info=tuning,
        proposal_stats=tuning,
    )


_LIVE_ENGINE: ContextVar[Engine] = ContextVar("engine of the run being restored")


@contextlib.contextmanager
def stands_in(engine: Engine) -> Iterator[None]:
    """While it lasts, unpickled marks become this engine.

    Raises:
        ForeignCheckpoint: a mark is that of another problem.
    """
    token = _LIVE_ENGINE.set(engine)
    try:
        yield
    finally:
        _LIVE_ENGINE.reset(token)


def _live_engine(mark: str, watch: Stopwatch) -> Engine:
    engine = _LIVE_ENGINE.get()
    if engine.mark != mark:
        raise ForeignCheckpoint
    engine.watch = watch
    return engine
