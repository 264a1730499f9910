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
from .engine import Engine, ForeignCheckpoint, Walks, stands_in
from .limits import check_limits, reached
from .lineage import births, families, family_error, relatedness
from .mixture import Mixture
from .problem import Problem
from .proposal import Rivals, make_proposal
from .sampled import Sampled, evidence_error, information
from .walk import make_kernel

_WALKS = {"repartitioned": 60, "prior": 120}
STARTS = tuple(_WALKS)
CHECKPOINT_SECONDS = 30.0
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
    dlogz: float = 0.1
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


class _OutOfBudget(Exception):
    """A limit on time or calls was reached."""


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
        try:
            converged = _run(sampler, settings, options, checkpoint)
        except OSError as error:
            # dynesty writes nothing but its checkpoint.
            raise InputError(write_failure(checkpoint or Path(), error)) from error
        converged = converged and _finished(sampler, settings)
        return _collect(engine, sampler, converged, seed)


def _start(engine: Engine, settings: Nested, seed: int, options: dict[str, Any]) -> Any:
    rng = np.random.default_rng(seed)
    u = rng.random((settings.nlive, engine.dimensions))
    v = engine.transform(u)
    live = (u, v, engine.log_likelihoods(v[:, :-2]))
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
        return dynesty.DynamicNestedSampler(engine.log_likelihood, engine.transform, engine.dimensions, **common)
    sampler = dynesty.NestedSampler(
        engine.log_likelihood, engine.transform, engine.dimensions, live_points=live, **common
    )
    # Our own draws from the first step on, instead of dynesty's, which are not batched.
    sampler.update_bound_if_needed(-np.inf, force=True)
    return sampler


def _run(sampler: Any, settings: Nested, options: dict[str, Any], checkpoint: Path | None) -> bool:
    """Whether the run came to its own end, not to a limit."""
    try:
        sampler.run_nested(**options, **_limits(settings))
    except _OutOfBudget:
        if checkpoint is not None:
            sampler.save(str(checkpoint))
        if not settings.dynamic:
            sampler.add_final_live(print_progress=False)
        return False
    return True


def _limits(settings: Nested) -> dict[str, Any]:
    if settings.dynamic:
        stop = {"target_n_effective": settings.effective_samples}
        return {"dlogz_init": settings.dlogz, "nlive_init": settings.nlive, "stop_kwargs": stop}
    return {"dlogz": settings.dlogz}


def _finished(sampler: Any, settings: Nested) -> bool:
    return len(sampler.results.logl) > settings.nlive


class _Watch:
    """Progress, and the limits on time and calls; dynesty calls it at every iteration."""

    def __init__(self, settings: Nested, ndim: int, progress: Progress | None) -> None:
        self.settings, self.ndim, self.progress = settings, ndim, progress
        self.began = self.told = time.monotonic()
        self.sampler: Any = None

    def __call__(self, results: Any, iteration: int, calls: int, **details: Any) -> None:
        now = time.monotonic()
        # While dynesty adds its last live points it can neither be stopped nor resumed, and is about to end anyway.
        ending = "add_live_it" in details or getattr(self.sampler, "internal_state", None) in _ENDING
        if not ending and reached(self.settings, self.began, calls):
            raise _OutOfBudget
        if self.progress is None or now - self.told < 0.2:
            return
        self.told = now
        text = f"{calls:,} calls"
        if hasattr(results, "logz"):
            text += f", log evidence {results.logz:.1f}"
        self.progress("nested sampling", self._share(float(results.delta_logz), calls), text)

    def _share(self, remaining: float, calls: int) -> float:
        """Of the likelihoods: the first iterations, without walks, are nearly free."""
        folds = folds_left(remaining, self.ndim, self.settings.dlogz)
        return calls / (calls + folds * self.settings.nlive * self.settings.walks)


def _collect(engine: Engine, sampler: Any, converged: bool, seed: int) -> Sampled:
    results = sampler.results
    z = results.samples[:, :-2]
    log_ratio = engine.log_ratio(z)
    log_weights = results.logwt - np.logaddexp.reduce(results.logwt)
    log_likelihood = results.logl + log_ratio
    evidence = float(results.logz[-1])
    walks = sampler.internal_sampler if hasattr(sampler, "internal_sampler") else sampler.sampler.internal_sampler
    walked = getattr(walks, "walked", 0)
    acceptance = engine.kernel.acceptance(np.array(walks.accepted / walked)) if walked else float("nan")
    log_volume = np.asarray(results.logvol)
    family, born = results.samples[:, -1], _births(results)
    weights = np.exp(log_weights)
    between = family_error(results.logl, family, born, seed)
    within = evidence_error(weights, log_volume, relatedness(family, born))
    return Sampled(
        z,
        log_weights,
        log_likelihood,
        evidence,
        float(np.hypot(between, within)),
        information(log_weights, log_likelihood, evidence),
        int(np.sum(results.ncall)),
        engine.watch.seconds,
        converged,
        log_volume,
        diagnostics={
            "acceptance": float(acceptance),
            "families": families(family, weights),
            "shrinkage_error": evidence_error(weights, log_volume),
        },
    )


def _births(results: Any) -> np.ndarray:
    """See `births`; only a dynamic run that came past its first live points has batches."""
    batch, floors = np.zeros(len(results.logl), dtype=int), [-np.inf]
    if len(getattr(results, "batch_logl_bounds", ())):
        batch, floors = results.samples_batch, [low for low, _ in results.batch_logl_bounds]
    return births(results.samples_id, batch, np.searchsorted(results.logl, floors, side="right") - 1)


def _restore(checkpoint: Path, engine: Engine) -> Any:
    try:
        with stands_in(engine):
            return dynesty.NestedSampler.restore(str(checkpoint), pool=engine)
    except ForeignCheckpoint:
        raise InputError(foreign_checkpoint(checkpoint)) from None
    except Exception:
        # Damaged bytes can make unpickling fail in any way.
        raise InputError(unreadable_checkpoint(checkpoint)) from None
