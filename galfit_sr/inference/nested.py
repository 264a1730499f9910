"""Nested sampling with dynesty (Speagle 2020, MNRAS 493, 3132), fed by the batched kernel of `walk`."""

from __future__ import annotations

import dataclasses
import math
import time
import warnings
from pathlib import Path
from typing import Any

import dynesty
import numpy as np
from dynesty.dynamicsampler import DynamicSamplerStatesEnum

from ..errors import InputError
from ..files import write_failure
from ..numeric import check_positive, check_whole
from ..progress import Progress
from .checkpoint import foreign_checkpoint, unreadable_checkpoint
from .draws import CHECKPOINT_SECONDS, draw, holds_draws
from .engine import Engine, ForeignCheckpoint, Walks, in_cube, stands_in
from .limits import check_limits, reached
from .lineage import births, families, family_error, relatedness
from .mixture import Mixture
from .points import Points, nobody, remaining
from .problem import Problem
from .proposal import Rivals, make_proposal
from .sampled import Sampled, evidence_error, information
from .walk import make_kernel

_WALKS = {"repartitioned": 60, "prior": 120}
STARTS = tuple(_WALKS)
_LEAST_LIVE = 60
"""Of one of several runs: steps are differences of half of them, and must span 18 dimensions."""
_ENDING = {
    DynamicSamplerStatesEnum.INBASEADDLIVE,
    DynamicSamplerStatesEnum.INBATCHADDLIVE,
    DynamicSamplerStatesEnum.BATCH_DONE,
}


@dataclasses.dataclass(frozen=True)
class Nested:
    """Settings of the nested sampler.

    Attributes:
        nlive: live points; from the prior 500 are advisable (docs/measured.md). If the posterior needs k runs, see
            `strata`, each has nlive / sqrt(k), 60 at least.
        walks: steps of each walk that draws a new live point; 0, the default, becomes 60 around the first answer and
            120 from the prior.
        dynamic: whether live points are added where they serve the posterior (Higson et al. 2019, Stat. Comput. 29,
            891), until it has `effective_samples`.
        effective_samples: with which a dynamic run ends.
        start: `repartitioned` around the first answer, or from the `prior`, the slow reference.
        dlogz: the run ends when the live points can add no more than this to the log evidence.
        walkers: walks that run at once; a multiple of the number of devices.
        max_seconds, max_calls: limits that end the run with a marked partial result.
    """

    nlive: int = 200
    walks: int = 0
    dynamic: bool = False
    effective_samples: int = 4000
    start: str = "repartitioned"
    dlogz: float = 1.0
    walkers: int = 16
    max_seconds: float | None = None
    max_calls: int | None = None

    def __post_init__(self) -> None:
        if self.start not in STARTS:
            raise InputError(f"start is {self.start!r}; allowed are {' and '.join(STARTS)}")
        if self.walks == 0:
            object.__setattr__(self, "walks", _WALKS[self.start])
        check_whole(self, nlive=40, walks=1, walkers=1, effective_samples=1)
        check_positive(self, "dlogz")
        check_limits(self)

    def one_of(self, count: int) -> Nested:
        """Settings of one of several runs that together know at least as much as one with these.

        Args:
            count: of the runs; 1 leaves everything as it is.
        """
        return dataclasses.replace(
            self, nlive=live_points(self.nlive, count), effective_samples=-(-self.effective_samples // count)
        )


def live_points(nlive: int, count: int) -> int:
    """Of one of several runs: what `count` equal ones find is known better than what one would with `nlive`."""
    return max(min(nlive, _LEAST_LIVE), round(nlive / count**0.5))


def folds_left(remaining: float, ndim: int, dlogz: float) -> float:
    """Factors of e by which the volume still shrinks until a run ends, each of `nlive` new live points.

    Far out the best live point lacks half a squared radius of a Gaussian's log-likelihood, and the volume goes as the
    radius to the power `ndim`; in the bulk the log-likelihood rises by about one with each factor; from then on, what
    is left of the evidence falls with the volume.

    Args:
        remaining: that the live points can add to the log evidence.
        ndim: dimensions of the posterior.
        dlogz: that ends the run.
    """
    if not (math.isfinite(remaining) and remaining > 0):
        return math.inf
    if remaining <= 1:
        return max(math.log(remaining / dlogz), 0.0)
    bulk = ndim / 2
    beyond = bulk * math.log(max(remaining / bulk, 1.0))
    return beyond + min(remaining, bulk) + max(math.log(1 / dlogz), 0.0)


class _Ended(Exception):
    """The run came to its end, or to a limit on time or calls."""

    def __init__(self, *, converged: bool) -> None:
        self.converged = converged


def run_nested(
    problem: Problem,
    mixture: Mixture | None,
    settings: Nested,
    seed: int,
    *,
    rivals: Rivals | None = None,
    progress: Progress | None = None,
    checkpoint: Path | None = None,
    resume: bool = False,
) -> Sampled:
    """Samples a posterior.

    Args:
        problem: the galaxy, cut between the modes.
        mixture: first answer, around which the prior is re-partitioned; not used for `start="prior"`.
        settings: of the sampler.
        seed: of every random number.
        rivals: of a run that is one of several, from `strata.rivals_of`.
        progress: called with a phrase, the share that is done and a line of details.
        checkpoint: file for the state of the run, written every half minute.
        resume: continue from the checkpoint if it is there.

    Raises:
        InputError: a checkpoint that is not one.
    """
    ndim = problem.target.ndim
    used = mixture if settings.start == "repartitioned" else None
    proposal = make_proposal(ndim, used, problem.arrays.shift.dtype, rivals)
    kernel = make_kernel(problem, proposal, settings.walkers, settings.walks)
    # Limits may change from one part of a run to the next.
    limitless = dataclasses.replace(settings, max_seconds=None, max_calls=None)
    engine = Engine(problem, kernel, repr((limitless, seed)))
    watch = _Watch(settings, ndim, progress)
    resumed = resume and checkpoint is not None and checkpoint.exists() and not holds_draws(checkpoint)
    options: dict[str, Any] = {"resume": resumed}
    with warnings.catch_warnings():
        # What dynesty would warn of (limits, plateaus) ends up in the result and its diagnosis.
        warnings.simplefilter("ignore")
        if resumed and checkpoint is not None:
            sampler = _restore(checkpoint, engine)
        elif settings.dynamic:
            sampler, options["live_points"] = _start_dynamic(engine, settings, seed)
        else:
            wanted = settings.nlive * kernel.calls
            draws = draw(engine, wanted, seed, watch.draws, checkpoint, resume)
            whole = draws.value.size >= wanted
            enough = watch.left(draws) <= settings.dlogz
            if enough or not whole:
                return _collected(engine, draws, draws.value.size, enough and whole)
            sampler = _start(engine, settings, seed, draws)
        watch.walks(sampler)
        try:
            converged = _run(sampler, settings, options, watch, checkpoint)
        except OSError as error:
            # dynesty writes nothing but its checkpoint.
            raise InputError(write_failure(checkpoint or Path(), error)) from error
        fallen, results = watch.fallen, sampler.results
        calls = fallen.value.size + int(np.sum(results.ncall))
        return _collected(engine, _points(results, fallen), calls, converged, _walks(sampler))


def _start(engine: Engine, settings: Nested, seed: int, draws: Points) -> Any:
    fallen = draws.first(draws.value.size - settings.nlive)
    live = draws.v[-settings.nlive :], draws.value[-settings.nlive :]
    rng = np.random.default_rng((seed, draws.value.size))
    sampler = dynesty.NestedSampler(
        *_given(engine), live_points=(in_cube(live[0]), *live), **_common(engine, settings, Walks(engine, fallen), rng)
    )
    # Our own walks from the first step on, instead of dynesty's draws, which are not batched.
    sampler.update_bound_if_needed(-np.inf, force=True)
    return sampler


def _start_dynamic(engine: Engine, settings: Nested, seed: int) -> tuple[Any, tuple[np.ndarray, ...]]:
    """The sampler, and the live points with which it is to run."""
    rng = np.random.default_rng(seed)
    u = rng.random((settings.nlive, engine.dimensions))
    v = engine.transform(u)
    walks = Walks(engine, nobody(engine.dimensions), drawing=True)
    sampler = dynesty.DynamicNestedSampler(*_given(engine), **_common(engine, settings, walks, rng))
    return sampler, (u, v, engine.log_likelihoods(v[:, :-2]))


def _given(engine: Engine) -> tuple[Any, Any, int]:
    return engine.log_likelihood, engine.transform, engine.dimensions


def _common(engine: Engine, settings: Nested, walks: Walks, rng: np.random.Generator) -> dict[str, Any]:
    return {
        "nlive": settings.nlive,
        "bound": "none",
        "sample": walks,
        "pool": engine,
        "queue_size": settings.walkers,
        "rstate": rng,
        "first_update": {"min_ncall": 0, "min_eff": 200.0},
    }


def _walks(sampler: Any) -> Any:
    return sampler.internal_sampler if hasattr(sampler, "internal_sampler") else sampler.sampler.internal_sampler


def _run(sampler: Any, settings: Nested, options: dict[str, Any], watch: _Watch, checkpoint: Path | None) -> bool:
    """Whether the run came to its own end, not to a limit."""
    kept = {} if checkpoint is None else {"checkpoint_file": str(checkpoint), "checkpoint_every": CHECKPOINT_SECONDS}
    try:
        if options["resume"] and not settings.dynamic:
            # One that was interrupted after its last step takes no more.
            watch.check_end()
        sampler.run_nested(print_func=watch, print_progress=True, **options, **kept, **_limits(settings))
    except _Ended as ended:
        if checkpoint is not None:
            sampler.save(str(checkpoint))
        if not settings.dynamic:
            sampler.add_final_live(print_progress=False)
        return ended.converged
    return len(sampler.results.logl) > settings.nlive


def _limits(settings: Nested) -> dict[str, Any]:
    if settings.dynamic:
        stop = {"target_n_effective": settings.effective_samples}
        return {"dlogz_init": settings.dlogz, "nlive_init": settings.nlive, "stop_kwargs": stop}
    return {"dlogz": settings.dlogz}


class _Watch:
    """Progress, limits on time and calls, and the end of a static run; dynesty calls it at every iteration."""

    def __init__(self, settings: Nested, ndim: int, progress: Progress | None) -> None:
        self.settings, self.ndim, self.progress = settings, ndim, progress
        self.began = self.told = time.monotonic()
        self.sampler: Any = None
        self.fallen = nobody(ndim + 2)

    def left(self, draws: Points) -> float:
        """What the best of plain draws, as live points, can add to the log evidence of the others."""
        fallen = draws.first(max(draws.value.size - self.settings.nlive, 0))
        return remaining(fallen.log_evidence(), draws.value[-1], fallen.left()) if fallen.value.size else np.inf

    def draws(self, draws: Points) -> bool:
        """Takes note of them; whether a limit is reached, and there are more than the live points."""
        calls = draws.value.size
        self._tell(calls, draws.log_evidence(), self.left(draws))
        return calls > self.settings.nlive and reached(self.settings, self.began, calls)

    def walks(self, sampler: Any) -> None:
        """Takes note of what goes on from there, in the volume that the fallen have left."""
        self.sampler = sampler
        if not self.settings.dynamic:
            self.fallen = _walks(sampler).fallen
        self.volume = self.fallen.left()
        self.below = self.fallen.log_evidence() - self.volume

    def check_end(self) -> float:
        """What the live points of a static run can still add; dynesty does not know of the fallen.

        Raises:
            _Ended: it is no longer worth while.
        """
        run = self.sampler.saved_run
        below = float(np.logaddexp(self.below, run["logz"][-1]))
        left = remaining(below, np.max(self.sampler.live_logl), run["logvol"][-1])
        if left <= self.settings.dlogz:
            raise _Ended(converged=True)
        return left

    def __call__(self, results: Any, iteration: int, calls: int, **details: Any) -> None:
        # While dynesty adds its last live points it can neither be stopped nor resumed, and is about to end anyway.
        ending = "add_live_it" in details or getattr(self.sampler, "internal_state", None) in _ENDING
        calls += self.fallen.value.size
        left = float(results.delta_logz)
        if not ending:
            left = left if self.settings.dynamic else self.check_end()
            if reached(self.settings, self.began, calls):
                raise _Ended(converged=False)
        below = np.logaddexp(self.below, getattr(results, "logz", -np.inf))
        self._tell(calls, below + self.volume, left)

    def _tell(self, calls: int, log_evidence: float, left: float) -> None:
        now = time.monotonic()
        if self.progress is None or now - self.told < 0.2:
            return
        self.told = now
        # Of the likelihoods.
        folds = folds_left(left, self.ndim, self.settings.dlogz)
        share = calls / (calls + folds * self.settings.nlive * self.settings.walks)
        text = f", log evidence {log_evidence:.1f}" if np.isfinite(log_evidence) else ""
        self.progress("nested sampling", share, f"{calls:,} calls{text}")


def _collected(engine: Engine, points: Points, calls: int, converged: bool, walks: Any = None) -> Sampled:
    z, family = points.v[:, :-2], points.v[:, -1]
    log_weights = points.log_weights()
    evidence = float(np.logaddexp.reduce(log_weights))
    log_weights -= evidence
    log_likelihood = points.value + engine.log_ratio(z)
    weights, log_volume = np.exp(log_weights), points.log_volume
    between = family_error(weights, log_volume, family, points.born)
    within = evidence_error(weights, log_volume, relatedness(family, points.born))
    diagnostics = {"families": families(family, weights), "shrinkage_error": evidence_error(weights, log_volume)}
    # dynesty brings a sampler of its own, which does not last beyond the first live points.
    if isinstance(walks, Walks) and walks.walked:
        diagnostics["acceptance"] = engine.kernel.acceptance(np.array(walks.accepted / walks.walked))
    return Sampled(
        z,
        log_weights,
        log_likelihood,
        evidence,
        float(np.hypot(between, within)),
        information(log_weights, log_likelihood, evidence),
        calls,
        engine.watch.seconds,
        converged,
        log_volume,
        diagnostics=diagnostics,
    )


def _points(results: Any, fallen: Points) -> Points:
    """All of a run: those that fell before the first walk, and what dynesty gave in the volume that was left."""
    batch, floors = np.zeros(len(results.logl), dtype=int), [-np.inf]
    # Only a dynamic run that came past its first live points has batches.
    if len(getattr(results, "batch_logl_bounds", ())):
        batch, floors = results.samples_batch, [low for low, _ in results.batch_logl_bounds]
    born = births(results.samples_id, batch, np.searchsorted(results.logl, floors, side="right") - 1)
    walked = (
        results.samples,
        results.logl,
        fallen.left() + np.asarray(results.logvol),
        np.where(born < 0, -1, born + fallen.value.size),
    )
    return Points(*(np.concatenate(pair) for pair in zip(fallen, walked, strict=True)))


def _restore(checkpoint: Path, engine: Engine) -> Any:
    try:
        with stands_in(engine):
            return dynesty.NestedSampler.restore(str(checkpoint), pool=engine)
    except ForeignCheckpoint:
        raise InputError(foreign_checkpoint(checkpoint)) from None
    except Exception:
        # Damaged bytes can make unpickling fail in any way.
        raise InputError(unreadable_checkpoint(checkpoint)) from None
