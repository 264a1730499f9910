"""Nested slice sampling (Yallup, Kroupa & Handley 2026, arXiv:2601.23252) with blackjax, a loop on the device.

The run begins with many more draws than it has live points: as these die, lowest first, none is replaced until only
the live points are left. That is cheaper than slices as long as it takes fewer draws to find a point above the
threshold than slices take likelihoods. From then on batches of the lowest live points are replaced at once by slices
along directions that follow the covariance of the live points, many batches in one compiled call, walkers spread over
all devices. Evidence and posterior are those of the dynesty runs, from the same starts, by other walks and other code.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from ..devices import devices_for, replicated, spread
from ..errors import InputError
from ..numeric import check_positive, check_whole
from ..progress import Progress
from .checkpoint import load_state, mark_of, save_state
from .limits import check_limits, reached
from .mixture import Mixture
from .nested import STARTS, folds_left, live_points
from .points import remaining
from .problem import Arrays, Problem, Target, log_likelihoods
from .proposal import Proposal, Rivals, from_cube, log_density, log_ratio, make_proposal
from .sampled import Sampled, evidence_error, information, shell_log_weights
from .stopwatch import Stopwatch
from .walk import repartitioned_log_likelihood

_ROUND = 10
_MOST_EXPANSIONS, _MOST_SHRINKS = 10, 100


@dataclasses.dataclass(frozen=True)
class Nss:
    """Settings of nested slice sampling.

    Attributes:
        nlive: live points; from the prior 500 are advisable. If the posterior needs k runs, see `strata`, each has
            nlive / sqrt(k), 60 at least.
        slices: to a new live point; 0, the default, becomes twice the number of parameters.
        draws: per live point, to begin with; a new live point takes about as many likelihoods by slices.
        batch: live points that are replaced at once; as many as keep the device busy, and few beside `nlive`.
        start: `repartitioned` around the first answer, or from the `prior`.
        dlogz: the run ends when the live points can add no more than this to the log evidence.
        max_seconds, max_calls: limits that end the run with a marked partial result.
    """

    nlive: int = 400
    slices: int = 0
    draws: int = 100
    batch: int = 16
    start: str = "repartitioned"
    dlogz: float = 1.0
    max_seconds: float | None = None
    max_calls: int | None = None

    def __post_init__(self) -> None:
        if self.start not in STARTS:
            raise InputError(f"start is {self.start!r}; allowed are {' and '.join(STARTS)}")
        check_whole(self, nlive=40, slices=0, draws=1, batch=1)
        if 2 * self.batch > self.nlive:
            raise InputError(f"batch is {self.batch}; at most half of the {self.nlive} live points can go at once")
        check_positive(self, "dlogz")
        check_limits(self)

    def one_of(self, count: int) -> Nss:
        """Settings of one of several runs that together know at least as much as one with these.

        Args:
            count: of the runs; 1 leaves everything as it is.
        """
        return dataclasses.replace(self, nlive=max(live_points(self.nlive, count), 2 * self.batch))


class _Dead(NamedTuple):
    """Points in the order of their death.

    Attributes:
        z: (n, ndim) latent positions.
        value: (n,) log(L pi/q), less the offset of L.
        calls: (n,) likelihoods that the point took that replaced it, or its own where none did.
    """

    z: Any
    value: Any
    calls: Any


def run_nss(
    problem: Problem,
    mixture: Mixture | None,
    settings: Nss,
    seed: int,
    *,
    rivals: Rivals | None = None,
    progress: Progress | None = None,
    checkpoint: Path | None = None,
    resume: bool = False,
) -> Sampled:
    """Samples a posterior; arguments as for `run_nested`, the checkpoint written after every round.

    Raises:
        InputError: blackjax is not installed, or a checkpoint is not that of this run.
    """
    began, watch = time.monotonic(), Stopwatch()
    _check_installed()
    ndim, dtype = problem.target.ndim, problem.arrays.shift.dtype
    proposal = make_proposal(ndim, mixture if settings.start == "repartitioned" else None, dtype, rivals)
    mesh = devices_for(settings.batch)
    shared = replicated((proposal, problem.arrays), mesh)
    slices = settings.slices or 2 * ndim
    mark = mark_of(
        repr((problem.target, dataclasses.replace(settings, max_seconds=None, max_calls=None), seed)), *shared
    )
    if resume and checkpoint is not None and checkpoint.exists():
        points = [jax.ShapeDtypeStruct((settings.nlive, *shape), dtype) for shape in ((ndim,), ())]
        like = jax.eval_shape(_begin, *points, proposal)
        state, dead, before = load_state(checkpoint, mark, like, _Dead)
        watch = Stopwatch(before)
        state = replicated(state, mesh)
    else:
        z, value, dead = _drawn(problem, proposal, settings, seed)
        state = replicated(_begin(jnp.asarray(z, dtype), jnp.asarray(value, dtype), proposal), mesh)
    left, limited = _left(state, dead, settings), False
    while left > settings.dlogz and not limited:
        key = jax.random.fold_in(jax.random.key(seed), len(dead.value))
        state, died = _advance(problem.target, mesh, slices, settings.batch, state, key, *shared)
        dead = _Dead(*(np.concatenate([a, np.asarray(b, np.float64)]) for a, b in zip(dead, died, strict=True)))
        if checkpoint is not None:
            save_state(checkpoint, mark, state, dead, watch.seconds)
        left = _left(state, dead, settings)
        calls = settings.nlive + int(dead.calls.sum())
        limited = reached(settings, began, calls)
        if progress is not None:
            # By slices a new live point takes about as many likelihoods as there were draws for it.
            share = calls / (calls + folds_left(left, ndim, settings.dlogz) * settings.nlive * settings.draws)
            evidence = _evidence(dead, settings)[0] + problem.offset
            progress("nested slice sampling", share, f"{calls:,} calls, log evidence {evidence:.1f}")
    return _collect(problem, proposal, state, dead, settings, watch.seconds, left <= settings.dlogz)


def _check_installed() -> None:
    if importlib.util.find_spec("blackjax") is None:
        raise InputError("sampler nss needs blackjax, which is not installed: pip install 'galfit-sr[nss]'")


def _drawn(problem: Problem, proposal: Proposal, settings: Nss, seed: int) -> tuple[np.ndarray, np.ndarray, _Dead]:
    """The live points (nlive, ndim), their log(L pi/q) less the offset, and those that died before, of draws from q."""
    u = np.random.default_rng(seed).random((settings.draws * settings.nlive, problem.target.ndim + 1))
    z = from_cube(proposal, u)
    value = log_likelihoods(problem, z) - log_ratio(proposal, z)
    order = np.argsort(value)
    died, live = order[: -settings.nlive], order[-settings.nlive :]
    return z[live], value[live], _Dead(z[died], value[died], np.ones(died.size))


def _particle(target: Target, proposal: Proposal, arrays: Arrays) -> Any:
    """The function that makes a particle of blackjax from a position and a threshold."""
    from blackjax.ns.base import init_state_strategy

    return partial(
        init_state_strategy,
        logprior_fn=lambda z: log_density(proposal, z),
        loglikelihood_fn=lambda z: repartitioned_log_likelihood(target, z, proposal, arrays),
    )


@jax.jit
def _begin(z: jax.Array, value: jax.Array, proposal: Proposal) -> Any:
    """The state of blackjax's sampler with live points (n, ndim) whose log(L pi/q) is known, so that it is not looked
    at again, in a program of its own."""
    from blackjax.ns.adaptive import init
    from blackjax.ns.base import StateWithLogLikelihood
    from blackjax.ns.nss import live_covariance_factor

    density = jax.vmap(log_density, (None, 0))(proposal, z)
    return init(
        z,
        init_state_fn=lambda positions: StateWithLogLikelihood(positions, density, value, value),
        update_inner_kernel_params_fn=live_covariance_factor,
    )


@partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _advance(
    target: Target,
    mesh: Mesh,
    slices: int,
    batch: int,
    state: Any,
    key: jax.Array,
    proposal: Proposal,
    arrays: Arrays,
) -> tuple[Any, _Dead]:
    """The state after a round of batches, and those that died."""
    from blackjax.mcmc.slice import build_kernel as build_slice
    from blackjax.ns.nss import build_kernel, covariance_proposal, slice_constrained_step

    def walk(row, level, factor, proposal, arrays):
        key, particle = row
        one_slice = build_slice(interval=stepping_out, max_expansions=_MOST_EXPANSIONS, max_shrinkage=_MOST_SHRINKS)
        step = slice_constrained_step(_particle(target, proposal, arrays), one_slice, covariance_proposal)

        def moved(particle, key):
            particle, info = step(key, particle, level, covariance_factor=factor)
            # Both ends of the first bracket are looked at as well.
            return particle, 2 + info.num_expansions + info.num_shrink

        particle, counts = jax.lax.scan(moved, particle, jax.random.split(key, slices))
        return particle, jnp.sum(counts)

    def replace(_step, _slices, count):
        """blackjax's own update, with its walkers spread over devices, and on a CPU one after the other."""

        def update(key, state, level, covariance_factor):
            choice, own = jax.random.split(key)
            alive = state.particles.loglikelihood > level
            # On a plateau of the likelihood nobody is above the level.
            alive = jnp.where(jnp.any(alive), alive, True)
            start = jax.random.choice(choice, alive.size, (count,), p=alive / jnp.sum(alive))
            rows = jax.random.split(own, count), jax.tree.map(lambda a: a[start], state.particles)
            particles, calls = spread(walk, mesh, rows, level, covariance_factor, proposal, arrays)
            born = jnp.full_like(particles.loglikelihood_birth, level)
            return particles._replace(loglikelihood_birth=born), calls

        return update

    kernel = build_kernel(_particle(target, proposal, arrays), slices, batch, update_strategy=replace)

    def taken(state, key):
        state, info = kernel(key, state)
        died = info.particles
        order = jnp.argsort(died.loglikelihood)
        return state, _Dead(died.position[order], died.loglikelihood[order], info.update_info)

    state, died = jax.lax.scan(taken, state, jax.random.split(key, _ROUND))
    return state, _Dead(*(a.reshape(-1, *a.shape[2:]) for a in died))


def stepping_out(
    key: jax.Array, in_slice: Callable[[jax.Array], jax.Array], width: float, most: int
) -> tuple[jax.Array, jax.Array, jax.Array, Callable[[jax.Array], jax.Array]]:
    """The bracket of a slice by stepping out (Neal 2003, Ann. Statist. 31, 705, figure 3).

    The same as blackjax's own, but both ends step in one loop: so the program holds the likelihood once instead of four
    times, and compiles in half the time.

    Args:
        key: for where the first bracket lies, and how the steps are shared between its ends.
        in_slice: whether the place at a coordinate along the slice, 0 where the walk stands, belongs to it.
        width: of the first bracket, and of a step.
        most: widths that the bracket may have in the end.

    Returns:
        both ends, the steps taken, and the test (always passed) that blackjax has places in the bracket undergo.
    """
    place, split = jax.random.split(key)
    left = -width * jax.random.uniform(place)
    first = jnp.floor(most * jax.random.uniform(split)).astype(int)
    steps = jnp.stack([first, most - 1 - first])

    def look(state: Any) -> Any:
        end, ends, remaining = state
        further = in_slice(ends[end]) & (remaining[end] > 0)
        taken = further & (jnp.arange(2) == end)
        outward = jnp.array([-width, width], ends.dtype)
        return end + ~further, ends + jnp.where(taken, outward, 0), remaining - taken

    start = jnp.asarray(0), jnp.stack([left, left + width]), steps
    _, ends, remaining = jax.lax.while_loop(lambda state: state[0] < 2, look, start)
    return ends[0], ends[1], jnp.sum(steps - remaining), lambda t: jnp.asarray(True)


def _log_volume(dead: int, settings: Nss, live: bool) -> np.ndarray:
    """Expected log of the volume of q above every point, in order: those of a batch die one after the other.

    Fowlie, Handley & Su 2021, MNRAS 503, 1199.
    """
    first = np.arange(settings.draws * settings.nlive, settings.nlive, -1)
    left = [first, settings.nlive - np.arange(dead - first.size) % settings.batch]
    if live:
        left.append(np.arange(settings.nlive, 0, -1))
    return -np.cumsum(np.log1p(1 / np.concatenate(left)))


def _evidence(dead: _Dead, settings: Nss) -> tuple[float, float]:
    """Log evidence of the dead, less the offset, and log of the volume that is left."""
    if not len(dead.value):
        return -np.inf, 0.0
    log_volume = _log_volume(len(dead.value), settings, live=False)
    return float(np.logaddexp.reduce(shell_log_weights(dead.value, log_volume))), float(log_volume[-1])


def _left(state: Any, dead: _Dead, settings: Nss) -> float:
    """How much the live points can still add to the log evidence."""
    evidence, log_volume = _evidence(dead, settings)
    return remaining(evidence, float(np.max(np.asarray(state.particles.loglikelihood, np.float64))), log_volume)


def _collect(
    problem: Problem, proposal: Proposal, state: Any, dead: _Dead, settings: Nss, seconds: float, ended: bool
) -> Sampled:
    values = np.asarray(state.particles.loglikelihood, np.float64)
    order = np.argsort(values)
    z = np.concatenate([dead.z, np.asarray(state.particles.position, np.float64)[order]])
    value = np.concatenate([dead.value, values[order]])
    log_volume = _log_volume(len(dead.value), settings, live=True)
    log_weights = shell_log_weights(value, log_volume)
    evidence = float(np.logaddexp.reduce(log_weights))
    log_weights -= evidence
    log_likelihood = value + problem.offset + log_ratio(proposal, z)
    calls = settings.nlive + int(dead.calls.sum())
    walks = dead.calls[(settings.draws - 1) * settings.nlive :]
    return Sampled(
        z,
        log_weights,
        log_likelihood,
        evidence + problem.offset,
        evidence_error(np.exp(log_weights), log_volume),
        information(log_weights, log_likelihood, evidence + problem.offset),
        calls,
        seconds,
        ended,
        log_volume,
        diagnostics={"calls_per_point": float(walks.sum()) / max(walks.size, 1)},
    )
