"""Nested sampling with dynesty (Speagle 2020, MNRAS 493, 3132), fed by the batched kernel of `walk`."""

from __future__ import annotations

import dataclasses
import hashlib
import time
import warnings
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import dynesty
import jax
import jax.numpy as jnp
import numpy as np
from dynesty.dynamicsampler import DynamicSamplerStatesEnum
from dynesty.internal_samplers import InternalSampler, SamplerReturn
from scipy.special import ndtr

from ..errors import InputError
from .maximum import Mode
from .problem import CHUNK, Problem, batch_log_likelihood, in_chunks
from .proposal import batch_log_ratio, from_cube, make_proposal
from .walk import FIRST_SCALE, Kernel, make_kernel, steered

STARTS = ("repartitioned", "prior")
CHECKPOINT_SECONDS = 30.0
_ENDING = {
    DynamicSamplerStatesEnum.INBASEADDLIVE,
    DynamicSamplerStatesEnum.INBATCHADDLIVE,
    DynamicSamplerStatesEnum.BATCH_DONE,
}


@dataclasses.dataclass(frozen=True)
class Nested:
    """Settings of the nested sampler.

    Attributes:
        nlive: live points.
        walks: steps of each walk that draws a new live point.
        dynamic: whether live points are added where they serve the posterior (Higson et al. 2019, Stat. Comput. 29,
            891), until it has `effective_samples`.
        effective_samples: with which a dynamic run ends.
        start: `repartitioned` around the first answer, or from the `prior`, the slow reference.
        dlogz: the run ends when the live points can add no more than this to the log evidence.
        walkers: walks that run at once; a multiple of the number of devices.
        max_seconds, max_calls: limits that end the run with a marked partial result.
    """

    nlive: int = 200
    walks: int = 60
    dynamic: bool = False
    effective_samples: int = 4000
    start: str = "repartitioned"
    dlogz: float = 0.1
    walkers: int = 16
    max_seconds: float | None = None
    max_calls: int | None = None

    def __post_init__(self) -> None:
        for name, least in (("nlive", 40), ("walks", 1), ("walkers", 1), ("effective_samples", 1)):
            if getattr(self, name) < least:
                raise InputError(f"{name} is {getattr(self, name)}; at least {least} is needed")
        if self.start not in STARTS:
            raise InputError(f"start is {self.start!r}; allowed are {' and '.join(STARTS)}")
        for name in ("dlogz", "max_seconds", "max_calls"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise InputError(f"{name} is {value}; a positive number is needed")


@dataclasses.dataclass(frozen=True, eq=False)
class NestedRun:
    """What a nested run found.

    Attributes:
        z: (n, ndim) weighted samples in latent coordinates.
        log_weights: (n,) normalised.
        log_likelihood: (n,) of the likelihood proper, offset included.
        log_volume: (n,) log of the volume of q above each sample.
        log_evidence, log_evidence_error: natural logarithm and standard deviation.
        information: from the prior to the posterior, in nats.
        calls: evaluations of the likelihood.
        acceptance: mean share of accepted steps.
        converged: whether dlogz was reached.
    """

    z: np.ndarray
    log_weights: np.ndarray
    log_likelihood: np.ndarray
    log_volume: np.ndarray
    log_evidence: float
    log_evidence_error: float
    information: float
    calls: int
    acceptance: float
    converged: bool


class _ForeignCheckpoint(Exception):
    """A checkpoint of another problem."""


class _OutOfBudget(Exception):
    """A limit on time or calls was reached."""


class Engine:
    """The likelihood, prior and kernel that dynesty is given: one galaxy, bound to jitted functions.

    dynesty pickles what it was given. An engine pickles as a mere mark, and unpickles as the engine that was rebuilt
    for the same problem (see `_restore`): compiled functions never enter a checkpoint.
    """

    def __init__(self, problem: Problem, kernel: Kernel, settings: Nested, seed: int) -> None:
        self.problem, self.kernel = problem, kernel
        limitless = dataclasses.replace(settings, max_seconds=None, max_calls=None)
        digest = hashlib.sha256(repr((problem.target, limitless, seed)).encode())
        for leaf in jax.tree.leaves((problem.arrays, kernel.proposal)):
            digest.update(np.ascontiguousarray(leaf).tobytes())
        self.mark = digest.hexdigest()
        self.dtype = problem.arrays.shift.dtype
        self.size = kernel.walkers

    def __reduce__(self) -> tuple[Callable[[str], Engine], tuple[str]]:
        return _live_engine, (self.mark,)

    def transform(self, u: np.ndarray) -> np.ndarray:
        """Unit cube (1 + ndim,) to (1 + ndim,): the latent vector, and the coordinate that chose the component."""
        return np.append(from_cube(self.kernel.proposal, u), u[..., 0])

    def log_likelihood(self, v: np.ndarray) -> float:
        """log(L pi/q), offset included, of what `transform` gave."""
        z = jnp.asarray(v[None, :-1], self.dtype)
        likelihood = batch_log_likelihood(self.problem.target, z, self.problem.arrays)
        return float(likelihood[0]) + self.problem.offset - float(batch_log_ratio(self.kernel.proposal, z)[0])

    def log_likelihoods(self, z: np.ndarray) -> np.ndarray:
        """log(L pi/q), offset included, of latent vectors (m, ndim)."""
        target, arrays = self.problem.target, self.problem.arrays
        found = in_chunks(lambda rows: batch_log_likelihood(target, rows, arrays), z, self.dtype)
        return found + self.problem.offset - self.log_ratio(z)

    def log_ratio(self, z: np.ndarray) -> np.ndarray:
        """log(q/pi) of latent vectors (m, ndim)."""
        return in_chunks(lambda rows: batch_log_ratio(self.kernel.proposal, rows), z, self.dtype)

    def map(self, function: Callable[[Any], Any], arguments: Any) -> list[Any]:
        """What dynesty expects of a pool; the work of a queue was already done, in one call, by `Walks`."""
        return [function(argument) for argument in arguments]


class Walks(InternalSampler):
    """dynesty's door to the kernel: all walks of a queue run in one compiled call.

    While more than one in `walks` draws from q lies above the threshold, plain draws are cheaper than walks, and exact.
    """

    def __init__(self, engine: Engine, **kwargs: Any) -> None:
        super().__init__(engine=engine, **kwargs)
        self.engine = engine
        self.scale = FIRST_SCALE
        self.accepted, self.walked = 0.0, 0
        self._pending: list[float] = []
        self._drawing = True
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
        z = from_cube(engine.kernel.proposal, rng.random((CHUNK, engine.problem.target.ndim + 1)))
        values = engine.log_likelihoods(z)
        above = np.flatnonzero(values > loglstar)
        self._drawing = len(above) * engine.kernel.calls > CHUNK
        self._owed += CHUNK
        return [_returned(z[i], values[i], 0, None) for i in above]

    def _walk(self, rng: np.random.Generator, loglstar: float, nested_sampler: Any) -> list[SamplerReturn]:
        kernel, offset = self.engine.kernel, self.engine.problem.offset
        live = nested_sampler.live_v[:, :-1]
        above = np.flatnonzero(nested_sampler.live_logl > loglstar)
        walked = kernel.run(
            rng,
            live[rng.choice(above, kernel.walkers)],
            live,
            threshold=loglstar - offset,
            power=0.0,
            scale=self.scale,
        )
        return [
            _returned(z, value + offset, kernel.calls, {"accepted": accepted})
            for z, value, accepted in zip(*walked, strict=True)
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


def _returned(z: np.ndarray, value: float, calls: int, tuning: dict[str, float] | None) -> SamplerReturn:
    """A new point as dynesty takes it; its place in the unit cube is that of the prior."""
    return SamplerReturn(
        u=np.append(0.5, ndtr(z)),
        v=np.append(z, 0.0),
        logl=value,
        ncalls=calls,
        evaluation_history=[],
        tuning_info=tuning,
        proposal_stats=tuning,
    )


def run_nested(
    problem: Problem,
    modes: tuple[Mode, ...],
    settings: Nested,
    seed: int,
    *,
    progress: Callable[[str, float, str], None] | None = None,
    checkpoint: Path | None = None,
    resume: bool = False,
) -> NestedRun:
    """Samples a posterior.

    Args:
        problem: the galaxy, cut opposite to the first mode.
        modes: first answer, around which the prior is re-partitioned; not used for `start="prior"`.
        settings: of the sampler.
        seed: of every random number.
        progress: called with a phrase, the share that is done and a line of details.
        checkpoint: file for the state of the run, written every half minute.
        resume: continue from the checkpoint if it is there.

    Raises:
        InputError: a checkpoint that is not one.
    """
    ndim = problem.target.ndim
    used = modes if settings.start == "repartitioned" else ()
    proposal = make_proposal(ndim, used, problem.arrays.shift.dtype)
    kernel = make_kernel(problem, proposal, settings.walkers, settings.walks)
    engine = Engine(problem, kernel, settings, seed)
    watch = _Watch(settings, progress)
    options: dict[str, Any] = {"print_func": watch, "print_progress": True, "resume": False}
    if checkpoint is not None:
        options |= {"checkpoint_file": str(checkpoint), "checkpoint_every": CHECKPOINT_SECONDS}
    with warnings.catch_warnings():
        # What dynesty would warn of (limits, plateaus) ends up in the result and its diagnosis.
        warnings.simplefilter("ignore")
        if resume and checkpoint is not None and checkpoint.exists():
            sampler = _restore(checkpoint, engine)
            options["resume"] = True
        else:
            sampler = _start(engine, settings, seed, options)
        watch.sampler = sampler
        converged = True
        try:
            sampler.run_nested(**options, **_limits(settings))
        except _OutOfBudget:
            converged = False
            if checkpoint is not None:
                sampler.save(str(checkpoint))
            if not settings.dynamic:
                sampler.add_final_live(print_progress=False)
        converged = converged and _finished(sampler, settings)
        return _collect(engine, sampler, converged)


def _start(engine: Engine, settings: Nested, seed: int, options: dict[str, Any]) -> Any:
    ndim = engine.problem.target.ndim
    rng = np.random.default_rng(seed)
    u = rng.random((settings.nlive, ndim + 1))
    v = np.array([engine.transform(row) for row in u])
    live = (u, v, engine.log_likelihoods(v[:, :-1]))
    common = {
        "nlive": settings.nlive,
        "bound": "none",
        "sample": Walks(engine),
        "pool": engine,
        "queue_size": settings.walkers,
        "rstate": rng,
        "first_update": {"min_ncall": 0, "min_eff": 200.0},
    }
    if settings.dynamic:
        options["live_points"] = live
        return dynesty.DynamicNestedSampler(engine.log_likelihood, engine.transform, ndim + 1, **common)
    sampler = dynesty.NestedSampler(engine.log_likelihood, engine.transform, ndim + 1, live_points=live, **common)
    # Our own draws from the first step on, instead of dynesty's, which are not batched.
    sampler.update_bound_if_needed(-np.inf, force=True)
    return sampler


def _limits(settings: Nested) -> dict[str, Any]:
    if settings.dynamic:
        stop = {"target_n_effective": settings.effective_samples}
        return {"dlogz_init": settings.dlogz, "nlive_init": settings.nlive, "stop_kwargs": stop}
    return {"dlogz": settings.dlogz}


def _finished(sampler: Any, settings: Nested) -> bool:
    return len(sampler.results.logl) > settings.nlive


class _Watch:
    """Progress, and the limits on time and calls; dynesty calls it at every iteration."""

    def __init__(self, settings: Nested, progress: Callable[[str, float, str], None] | None) -> None:
        self.settings, self.progress = settings, progress
        self.began = self.told = time.monotonic()
        self.sampler: Any = None

    def __call__(self, results: Any, iteration: int, calls: int, **details: Any) -> None:
        now = time.monotonic()
        # While dynesty adds its last live points it can neither be stopped nor resumed, and is about to end anyway.
        ending = "add_live_it" in details or getattr(self.sampler, "internal_state", None) in _ENDING
        if not ending:
            self._stop_at_limits(now, calls)
        if self.progress is None or now - self.told < 0.2:
            return
        self.told = now
        text = f"{calls:,} calls"
        if hasattr(results, "logz"):
            text += f", log evidence {results.logz:.1f}"
        self.progress("nested sampling", self._share(float(results.delta_logz), iteration), text)

    def _stop_at_limits(self, now: float, calls: int) -> None:
        if self.settings.max_seconds is not None and now - self.began > self.settings.max_seconds:
            raise _OutOfBudget
        if self.settings.max_calls is not None and calls > self.settings.max_calls:
            raise _OutOfBudget

    def _share(self, remaining: float, iteration: int) -> float:
        """Share of the iterations: what is left of the evidence falls by 1/nlive per iteration once past the bulk."""
        if not np.isfinite(remaining) or remaining <= 0:
            return 0.0
        left = self.settings.nlive * max(np.log(remaining / self.settings.dlogz), 0.0)
        if remaining > 1:
            left = self.settings.nlive * (remaining + np.log(1 / self.settings.dlogz))
        return iteration / (iteration + left + 1)


def _collect(engine: Engine, sampler: Any, converged: bool) -> NestedRun:
    results = sampler.results
    z = results.samples[:, :-1]
    log_ratio = engine.log_ratio(z)
    log_weights = results.logwt - np.logaddexp.reduce(results.logwt)
    log_likelihood = results.logl + log_ratio
    evidence = float(results.logz[-1])
    walks = sampler.internal_sampler if hasattr(sampler, "internal_sampler") else sampler.sampler.internal_sampler
    walked = getattr(walks, "walked", 0)
    acceptance = engine.kernel.acceptance(np.array(walks.accepted / walked)) if walked else float("nan")
    information = float(np.sum(np.exp(log_weights) * (log_likelihood - evidence)))
    return NestedRun(
        z,
        log_weights,
        log_likelihood,
        np.asarray(results.logvol),
        evidence,
        _evidence_error(np.exp(log_weights), np.asarray(results.logvol)),
        information,
        int(np.sum(results.ncall)),
        float(acceptance),
        converged,
    )


def _evidence_error(weights: np.ndarray, log_volume: np.ndarray) -> float:
    """Standard deviation of the log evidence by the unknown shrinkage of every step.

    d log Z / d log t_j is the share of the evidence that lies beyond step j, and log t_j scatters by its own mean 1/n_j
    (Skilling 2006, Bayesian Anal. 1, 833): sqrt(H/n) where n is constant. dynesty's own error counts a step by the
    information gained there, which in a dynamic run leaves out the few live points on the way to the bulk.
    """
    beyond = np.cumsum(weights[::-1])[::-1]
    return float(np.sqrt(np.sum((beyond * np.diff(log_volume, prepend=0.0)) ** 2)))


_LIVE_ENGINE: ContextVar[Engine] = ContextVar("engine of the run being restored")


def _live_engine(mark: str) -> Engine:
    engine = _LIVE_ENGINE.get()
    if engine.mark != mark:
        raise _ForeignCheckpoint
    return engine


def _restore(checkpoint: Path, engine: Engine) -> Any:
    token = _LIVE_ENGINE.set(engine)
    try:
        return dynesty.NestedSampler.restore(str(checkpoint), pool=engine)
    except _ForeignCheckpoint:
        raise InputError(
            f"{checkpoint} is the checkpoint of another run, with other data, settings or seed; resume it with its own"
        ) from None
    except Exception:
        # Damaged bytes can make unpickling fail in any way.
        raise InputError(
            f"{checkpoint} cannot be read as a checkpoint of this version; start over without it"
        ) from None
    finally:
        _LIVE_ENGINE.reset(token)
