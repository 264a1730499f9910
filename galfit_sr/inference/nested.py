"""Nested sampling with dynesty (Speagle 2020, MNRAS 493, 3132), fed by the batched kernel of `walk`."""

from __future__ import annotations

import dataclasses
import pickle
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
from dynesty.internal_samplers import InternalSampler, SamplerReturn
from scipy.special import ndtr

from ..errors import InputError
from .maximum import Mode
from .problem import Problem, batch_log_likelihood, log_standard_normal
from .proposal import from_cube, log_density, make_proposal
from .walk import FIRST_SCALE, Kernel, make_kernel, steered

STARTS = ("repartitioned", "prior")
CHECKPOINT_SECONDS = 30.0
_CHUNK = 1024


@dataclasses.dataclass(frozen=True)
class Nested:
    """Settings of the nested sampler.

    Attributes:
        nlive: live points.
        walks: steps of each walk that draws a new live point.
        dynamic: whether live points are added where they serve the posterior (Higson et al. 2019).
        start: `repartitioned` around the first answer, or from the `prior`, the slow reference.
        dlogz: the run ends when the live points can add no more than this to the log evidence.
        walkers: walks that run at once; a multiple of the number of devices.
        max_seconds, max_calls: limits that end the run with a marked partial result.
    """

    nlive: int = 200
    walks: int = 60
    dynamic: bool = False
    start: str = "repartitioned"
    dlogz: float = 0.1
    walkers: int = 16
    max_seconds: float | None = None
    max_calls: int | None = None

    def __post_init__(self) -> None:
        for name, least in (("nlive", 40), ("walks", 1), ("walkers", 1)):
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


class _OutOfBudget(Exception):
    """A limit on time or calls was reached."""


class Engine:
    """The likelihood, prior and kernel that dynesty is given: one galaxy, bound to jitted functions.

    dynesty pickles what it was given. An engine pickles as a mere mark, and unpickles as the engine that was rebuilt
    for the same problem (see `_restore`): compiled functions never enter a checkpoint.
    """

    def __init__(self, problem: Problem, kernel: Kernel) -> None:
        self.problem, self.kernel = problem, kernel
        self.dtype = problem.arrays.shift.dtype
        self.size = kernel.walkers

    def __reduce__(self) -> tuple[Callable[[], Engine], tuple[()]]:
        return _live_engine, ()

    def transform(self, u: np.ndarray) -> np.ndarray:
        """Unit cube (1 + ndim,) to (1 + ndim,): the latent vector, and the coordinate that chose the component."""
        return np.append(from_cube(self.kernel.proposal, u), u[..., 0])

    def log_likelihood(self, v: np.ndarray) -> float:
        """log(L pi/q), offset included, of what `transform` gave."""
        return float(self.log_likelihoods(v[None, :-1])[0])

    def log_likelihoods(self, z: np.ndarray) -> np.ndarray:
        """log(L pi/q), offset included, of latent vectors (m, ndim), in chunks of one shape."""
        m = len(z)
        size = 1 if m == 1 else _CHUNK
        padded = np.concatenate([z, np.repeat(z[:1], -m % size, axis=0)])
        found = [
            batch_log_likelihood(self.problem.target, jnp.asarray(chunk, self.dtype), self.problem.arrays)
            for chunk in padded.reshape(-1, size, z.shape[1])
        ]
        return np.concatenate(found)[:m].astype(np.float64) + self.problem.offset - self.log_ratio(z)

    def log_ratio(self, z: np.ndarray) -> np.ndarray:
        """log(q/pi) of latent vectors (m, ndim)."""
        latent = jnp.asarray(z, self.dtype)
        density = jax.vmap(log_density, (None, 0))(self.kernel.proposal, latent)
        return np.asarray(density - log_standard_normal(latent), np.float64)

    def map(self, function: Callable[[Any], Any], arguments: Any) -> list[Any]:
        """What dynesty expects of a pool; the work of a queue was already done, in one call, by `Walks`."""
        return [function(argument) for argument in arguments]


class Walks(InternalSampler):
    """dynesty's door to the kernel: all walks of a queue run in one compiled call."""

    def __init__(self, engine: Engine, **kwargs: Any) -> None:
        super().__init__(engine=engine, **kwargs)
        self.engine = engine
        self.scale = FIRST_SCALE
        self.accepted, self.steps = 0.0, 0.0
        self._pending: list[float] = []

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
        """Runs the walks; dynesty's `sample` only hands over the results."""
        engine, kernel = self.engine, self.engine.kernel
        rng = np.random.default_rng(seeds[0])
        live = nested_sampler.live_v[:, :-1]
        above = np.flatnonzero(nested_sampler.live_logl > loglstar)
        walked = kernel.run(
            rng,
            live[rng.choice(above, kernel.walkers)],
            live,
            threshold=loglstar - engine.problem.offset,
            power=0.0,
            scale=self.scale,
        )
        return [
            SamplerReturn(
                u=np.append(0.5, ndtr(z)),
                v=np.append(z, 0.0),
                logl=value + engine.problem.offset,
                ncalls=kernel.calls,
                evaluation_history=[],
                tuning_info={"accepted": accepted},
                proposal_stats={"accepted": accepted},
            )
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
        self.steps += self.engine.kernel.walks
        if update:
            self.scale = steered(self.scale, float(np.mean(self._pending)) / self.engine.kernel.walks)
            self._pending.clear()


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
    engine = Engine(problem, make_kernel(problem, proposal, settings.walkers, settings.walks))
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
    # Walk from the first step on, instead of drawing from the whole of q first.
    sampler.update_bound_if_needed(-np.inf, force=True)
    return sampler


def _limits(settings: Nested) -> dict[str, Any]:
    if settings.dynamic:
        return {"dlogz_init": settings.dlogz, "nlive_init": settings.nlive}
    return {"dlogz": settings.dlogz}


def _finished(sampler: Any, settings: Nested) -> bool:
    return len(sampler.results.logl) > settings.nlive


class _Watch:
    """Progress, and the limits on time and calls; dynesty calls it at every iteration."""

    def __init__(self, settings: Nested, progress: Callable[[str, float, str], None] | None) -> None:
        self.settings, self.progress = settings, progress
        self.began = self.told = time.monotonic()
        self.first: float | None = None

    def __call__(self, results: Any, iteration: int, calls: int, **details: Any) -> None:
        now = time.monotonic()
        if self.settings.max_seconds is not None and now - self.began > self.settings.max_seconds:
            raise _OutOfBudget
        if self.settings.max_calls is not None and calls > self.settings.max_calls:
            raise _OutOfBudget
        if self.progress is None or now - self.told < 0.2:
            return
        self.told = now
        remaining = float(results.delta_logz)
        text = f"{calls:,} calls, log evidence {results.logz:.1f}" if hasattr(results, "logz") else f"{calls:,} calls"
        self.progress("nested sampling", self._share(remaining, iteration), text)

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
    log_ratio = np.concatenate([engine.log_ratio(chunk) for chunk in np.array_split(z, -(-len(z) // 4096))])
    log_weights = results.logwt - np.logaddexp.reduce(results.logwt)
    log_likelihood = results.logl + log_ratio
    evidence = float(results.logz[-1])
    walks = sampler.internal_sampler if hasattr(sampler, "internal_sampler") else sampler.sampler.internal_sampler
    acceptance = walks.accepted / walks.steps if getattr(walks, "steps", 0) else float("nan")
    information = float(np.sum(np.exp(log_weights) * (log_likelihood - evidence)))
    return NestedRun(
        z,
        log_weights,
        log_likelihood,
        np.asarray(results.logvol),
        evidence,
        float(results.logzerr[-1]),
        information,
        int(np.sum(results.ncall)),
        float(acceptance),
        converged,
    )


_LIVE_ENGINE: ContextVar[Engine] = ContextVar("engine of the run being restored")


def _live_engine() -> Engine:
    return _LIVE_ENGINE.get()


def _restore(checkpoint: Path, engine: Engine) -> Any:
    token = _LIVE_ENGINE.set(engine)
    try:
        return dynesty.NestedSampler.restore(str(checkpoint), pool=engine)
    except (pickle.UnpicklingError, EOFError, AttributeError, KeyError, RuntimeError, ImportError) as error:
        raise InputError(f"{checkpoint} is not a checkpoint of this version ({error}); start over without it") from None
    finally:
        _LIVE_ENGINE.reset(token)
