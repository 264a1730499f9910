"""A first answer in seconds: the maxima of the posterior by multi-start least squares, each with its curvature."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import least_squares
from threadpoolctl import threadpool_limits

from ..errors import InputError
from ..parameters import disc_pairs
from ..progress import Progress
from ..threads import in_threads
from .problem import CHUNK, Arrays, Problem, Target, log_likelihoods

_FIRST_STEPS, _ROUGH_STEPS, _FINE_STEPS = 15, 25, 100
_OUTLYING = 10.0
"""Standard deviations from which the first steps of a search take a residual for an outlier."""
_KEEP_WITHIN = 30.0
_SAME_MODE = 3.0
_PARTS = 16
"""Into which places are divided that threads look at."""
_REFINED = 6
_MOST_ROUNDS = 8
_FROM_A_MODE = 2
"""Searches from a mode with its discs exchanged, and as many with its discs drawn anew."""
_ACCEPTABLE = 1.0
"""Standard deviations of chi^2 by which a description of the data may be worse than the truth is on average."""
_AGAIN = 3.0
"""Nats within which two searches have come to the same place."""


@dataclasses.dataclass(frozen=True, eq=False)
class Mode:
    """A maximum of the posterior density in latent coordinates.

    Attributes:
        z: (ndim,) where.
        covariance: (ndim, ndim) inverse of the Gauss-Newton curvature, prior included (Laplace's approximation).
        log_posterior: log-likelihood less its offset, plus the log of the prior density in z.
    """

    z: np.ndarray
    covariance: np.ndarray
    log_posterior: float

    @property
    def log_evidence(self) -> float:
        """Laplace's approximation to the evidence of this mode, less the offset of the likelihood."""
        return float(self.log_posterior + 0.5 * np.linalg.slogdet(2 * np.pi * self.covariance).logabsdet)


class Modes(NamedTuple):
    """The modes of a posterior.

    Attributes:
        problem: the galaxy, cut as far as possible from all modes (see `Problem.cut_opposite`).
        modes: the best first.
        calls: evaluations of the likelihood or its residuals, gradients not counted.
    """

    problem: Problem
    modes: tuple[Mode, ...]
    calls: int


# Threads of BLAS that wait for work take the cores from JAX's: on two cores a first answer took three times as long.
@threadpool_limits.wrap(limits=1, user_api="blas")
def find_modes(
    problem: Problem,
    seed: int,
    starts: int = 8,
    progress: Progress | None = None,
    candidates: np.ndarray | None = None,
) -> Modes:
    """The modes of a posterior, by searches from several starts.

    Candidates are screened by their likelihood; the best, one after the other, start a trust-region Gauss-Newton search
    (SciPy's `least_squares`) in latent coordinates, where the prior is a quadratic term and no bound is met. As long as
    the best place does not describe the data, there is another round of searches, from new draws, until one comes to
    the best place again and to none that is better (a place that was found once may well be one of many: Boender &
    Rinnooy Kan 1987, Math. Program. 37, 59). A galaxy that hardly rotates looks the same from behind; two discs can
    trade places, or one fade and leave its place to the other: from every mode more searches start half a turn away,
    with its discs exchanged, and with discs drawn anew. Modes within 30 nats of the best are kept.

    Args:
        problem: the galaxy.
        seed: of the draws.
        starts: searches in a round.
        progress: called with a phrase, the share that is done and a few words.
        candidates: (n, ndim) latent positions for the first round, of an emulator's posterior say; draws from the prior
            if not given.

    Raises:
        InputError: the likelihood is finite nowhere.
    """
    report = progress or (lambda phrase, share, words: None)
    target, rng = problem.target, np.random.default_rng(seed)
    report("first answer", 0.0, "compiling")
    rough: list[_Found] = []
    screened = 0
    for number in range(_MOST_ROUNDS):
        before = len(rough)
        z = rng.standard_normal((CHUNK, target.ndim)) if candidates is None or number else candidates
        values = _screened(problem, z)
        screened += len(z)
        if not np.any(np.isfinite(values)):
            raise InputError(
                f"the likelihood is zero or not a number at all {len(z)} starts: what predicts the maps gives none that"
                " are finite, or the data hold values that no model reaches; look at both"
            )
        promising = z[np.argsort(-values)[:starts]]

        def told(count: int, before: int = before, number: int = number) -> None:
            words = f"search {before + count}" + (f" of {starts}" if number == 0 else ", the best is not good yet")
            report("first answer", (count + 1) / (starts + 2), words)

        rough += _searches(problem, [_parameters(problem, row) for row in promising], told)
        if _settled(problem, rough[:before], rough[before:]):
            break
    best = _best(problem, rough)
    discs = disc_pairs(target.prior.parameters)
    others = [theta for found in best for theta in _turned(target, found.theta)]
    if discs:
        others += [theta for found in best for theta in _with_other_discs(problem, found.theta, discs, rng)]
        screened += CHUNK * len(best)
    if others:
        report("first answer", (starts + 1) / (starts + 2), "the other way round")
        more = _searches(problem, others)
        rough += [*best, *more]
        best = _best(problem, [*best, *more])
    calls = screened + sum(found.calls for found in (*rough, *best))
    # Cut between the modes, not through one of them: half a turn apart, the second lies where the first was cut.
    problem = problem.cut_opposite(np.stack([np.asarray(found.theta) for found in best]))
    modes = modes_at(problem, _positions(problem, best))
    report("first answer", 1.0, f"{len(modes)} mode{'s' * (len(modes) > 1)}")
    return Modes(problem, modes, calls)


def _screened(problem: Problem, z: np.ndarray) -> np.ndarray:
    """(m,) log-likelihoods of latent positions (m, ndim); meanwhile the programs of searches are compiled."""
    target, arrays = problem.target, problem.arrays
    first = jnp.asarray(z[0], arrays.shift.dtype)
    search = [partial(program, target, first, arrays) for program in (_residuals, _jacobian)]
    return in_threads(lambda program: program(), [partial(log_likelihoods, problem, z), *search])[0]


class _Found(NamedTuple):
    """Log posterior in z, up to a constant, parameters, and the calls it took to find them."""

    value: float
    theta: jax.Array
    calls: int


def _best(problem: Problem, rough: list[_Found]) -> list[_Found]:
    """The ends of a few searches, the best first, each of them once."""
    rough = sorted(rough, key=lambda found: -found.value)
    fine: list[_Found] = []
    for found in rough:
        promising = found.value > rough[0].value - 20 * _KEEP_WITHIN and len(fine) < _REFINED
        if promising and not _known(problem, found, fine):
            fine.append(_climb(problem.cut_opposite(found.theta), found.theta, _FINE_STEPS))
    fine.sort(key=lambda found: -found.value)
    kept: list[_Found] = []
    for found in fine:
        if found.value > fine[0].value - _KEEP_WITHIN and not _known(problem, found, kept):
            kept.append(found)
    return kept


def _turned(target: Target, theta: jax.Array) -> list[jax.Array]:
    """Parameters from which to search on: those of a mode, but one that is an angle half a turn away."""
    return [
        theta.at[column].set(circle[0] + (theta[column] - circle[0] + circle[1] / 2) % circle[1])
        for column, parameter in enumerate(target.prior.parameters.free)
        if (circle := parameter.circle) is not None
    ]


def _with_other_discs(
    problem: Problem, theta: jax.Array, discs: tuple[tuple[str, str], ...], rng: np.random.Generator
) -> list[jax.Array]:
    """Parameters from which to search on: those of a mode, but the discs exchanged or new, as the data like them best.

    In latent coordinates, so that each disc stays within its own prior. Where an order holds between two parameters,
    the radii, both are new: a disc that trades places need not take the place of the other.
    """
    problem = problem.cut_opposite(theta)
    target = problem.target
    column = {name: i for i, name in enumerate(target.prior.names)}
    inner, outer = (np.array([column[pair[side]] for pair in discs]) for side in (0, 1))
    ordered = {name for order in target.prior.parameters.orders for name in (*order.smaller, order.larger)}
    new = np.array([i for pair in discs for i in (column[name] for name in pair) if not ordered.isdisjoint(pair)], int)
    exchanged = np.repeat(np.asarray(target.latent(theta, problem.arrays.shift), np.float64)[None], CHUNK // 2, axis=0)
    redrawn = exchanged.copy()
    exchanged[:, inner], exchanged[:, outer] = exchanged[:, outer], exchanged[:, inner]
    exchanged[:, new] = rng.standard_normal((len(exchanged), new.size))
    both = np.concatenate([inner, outer])
    redrawn[:, both] = rng.standard_normal((len(redrawn), both.size))
    chosen = []
    values = log_likelihoods(problem, np.concatenate([exchanged, redrawn])).reshape(2, -1)
    for z, value in zip((exchanged, redrawn), values, strict=True):
        for index in np.argsort(-value)[:_FROM_A_MODE]:
            chosen.append(_parameters(problem, z[index]))
    return chosen


def _settled(problem: Problem, before: list[_Found], now: list[_Found]) -> bool:
    """Whether the best place describes the data, as far as chance goes, or was found in this round and before."""
    best = max(found.value for found in (*before, *now))
    if all(any(best - found.value < _AGAIN for found in searches) for searches in (before, now)):
        return True
    data = problem.arrays.data
    weights = np.array([float(weight) for weight in data.weights])
    counts = np.array([np.count_nonzero(errors) for errors in data.inverse_errors])
    # Half of the mean of a weighted chi^2, and of the prior's term, and their standard deviation.
    mean, deviation = 0.5 * (weights @ counts + problem.target.ndim), np.sqrt(0.5 * (weights**2 @ counts))
    return bool(-best < mean + _ACCEPTABLE * deviation)


def _searches(problem: Problem, starts: list[jax.Array], done: Callable[[int], None] | None = None) -> list[_Found]:
    """A maximum from each start; `done` is called with how many are found."""
    return in_threads(partial(_search, problem), starts, done)


def _search(problem: Problem, theta: jax.Array) -> _Found:
    """A maximum, from a bad place: at first residuals far out count by their logarithm only, so that those of a part of
    the data that is not described yet do not keep the rest from falling into place."""
    far = _climb(problem.cut_opposite(theta), theta, _FIRST_STEPS, loss="cauchy")
    near = _climb(problem.cut_opposite(far.theta), far.theta, _FIRST_STEPS)
    return near._replace(calls=far.calls + near.calls)


def _climb(
    problem: Problem, theta: jax.Array, steps: int, noise: np.ndarray | float = 0.0, loss: str = "linear"
) -> _Found:
    """The maximum near `theta`; with noise, of the rows that `_used` tells, that of data and prior with it."""
    target, arrays = problem.target, problem.arrays
    dtype, used = arrays.shift.dtype, _used(problem)
    start = np.asarray(target.latent(theta, arrays.shift), dtype=np.float64)

    def residuals(z: np.ndarray) -> np.ndarray:
        return np.asarray(_residuals(target, jnp.asarray(z, dtype), arrays), dtype=np.float64)[used] - noise

    def jacobian(z: np.ndarray) -> np.ndarray:
        return np.asarray(_jacobian(target, jnp.asarray(z, dtype), arrays))[:, used].T.astype(np.float64)

    found = least_squares(
        residuals,
        start,
        jacobian,
        method="trf",
        x_scale=1.0,
        max_nfev=steps,
        ftol=1e-6,
        xtol=1e-6,
        loss=loss,
        f_scale=_OUTLYING,
    )
    return _Found(-found.cost, _parameters(problem, found.x), found.nfev)


def _used(problem: Problem) -> np.ndarray:
    """Which rows of the residuals are not of masked pixels; factorisations are several times faster without those."""
    target, arrays = problem.target, problem.arrays
    fitted = np.concatenate([np.asarray(e) > 0 for e in arrays.data.inverse_errors])
    rows = _residuals.eval_shape(target, arrays.shift, arrays).size - target.ndim
    return np.append(np.tile(fitted, rows // fitted.size), np.ones(target.ndim, bool))


def _parameters(problem: Problem, z: np.ndarray) -> jax.Array:
    shift = problem.arrays.shift
    return problem.target.parameters(jnp.asarray(z, shift.dtype), shift)


@threadpool_limits.wrap(limits=1, user_api="blas")
def perturbed(problem: Problem, modes: Sequence[Mode], count: int, seed: int) -> tuple[np.ndarray, int]:
    """About independent draws from a posterior, whatever its shape: maxima when data and prior have other noise.

    Randomised maximum likelihood (Chen & Oliver 2012, Math. Geosci. 44, 1), exact where residuals are linear in the
    latent coordinates.

    Args:
        problem: cut between the modes.
        modes: from which the searches start, in turn.
        count: of draws.
        seed: of the noise.

    Returns:
        (count, ndim) latent positions, and the evaluations of the residuals that they took.
    """
    rng, rows = np.random.default_rng(seed), np.count_nonzero(_used(problem))
    starts = [_parameters(problem, mode.z) for mode in modes]

    def found_from(drawn: tuple[jax.Array, np.ndarray]) -> _Found:
        start, noise = drawn
        return _climb(problem, start, _ROUGH_STEPS, noise)

    found = in_threads(found_from, [(starts[i % len(starts)], rng.standard_normal(rows)) for i in range(count)])
    return _positions(problem, found), sum(one.calls for one in found)


def modes_at(problem: Problem, z: np.ndarray) -> tuple[Mode, ...]:
    """What maxima would be at latent coordinates z (m, ndim)."""
    values = log_likelihoods(problem, z) - 0.5 * np.sum(z**2, axis=1) - 0.5 * z.shape[1] * np.log(2 * np.pi)
    dtype = problem.arrays.shift.dtype
    covariances = [_latent_covariance(problem, jnp.asarray(row, dtype)) for row in z]
    return tuple(map(Mode, z, covariances, map(float, values)))


def _positions(problem: Problem, found: Sequence[_Found]) -> np.ndarray:
    shift = problem.arrays.shift
    return np.stack([np.asarray(problem.target.latent(one.theta, shift), dtype=np.float64) for one in found])


def _covariance(problem: Problem, theta: jax.Array) -> np.ndarray:
    return _latent_covariance(problem, problem.target.latent(theta, problem.arrays.shift))


def _latent_covariance(problem: Problem, z: jax.Array) -> np.ndarray:
    """Inverse Gauss-Newton curvature in latent coordinates."""
    jacobian = np.asarray(_jacobian(problem.target, z, problem.arrays), dtype=np.float64)
    return np.linalg.inv(jacobian @ jacobian.T)


def residuals_at(problem: Problem, places: np.ndarray) -> np.ndarray:
    """(n, m) float32, what the data see at latent coordinates (n, ndim), see `Target.residuals`."""
    dtype = problem.arrays.shift.dtype

    def seen(places: np.ndarray) -> np.ndarray:
        rows = (_residuals(problem.target, jnp.asarray(place, dtype), problem.arrays) for place in places)
        return np.stack([np.asarray(row, dtype=np.float32) for row in rows])

    return np.concatenate(in_threads(seen, np.array_split(places, min(_PARTS, len(places)))))


class Curvature(NamedTuple):
    """How what the data see bends around a place, by singular directions of the residuals' Jacobian, sharpest first.

    Attributes:
        residuals: (m,) at the place.
        left: (ndim, m) left singular vectors.
        deviations: (ndim,) standard deviations along the directions, the prior's 1 at most.
        directions: (ndim, ndim) right singular vectors, one a row.
        bends: (ndim,) by how many of its standard deviations a direction is bent at most, a standard deviation away
            along another.
    """

    residuals: np.ndarray
    left: np.ndarray
    deviations: np.ndarray
    directions: np.ndarray
    bends: np.ndarray


@threadpool_limits.wrap(limits=1, user_api="blas")
def curvature_of(problem: Problem, z: np.ndarray) -> Curvature:
    """The curvature at latent coordinates z (ndim,)."""
    target, arrays = problem.target, problem.arrays

    def residuals(z: np.ndarray) -> np.ndarray:
        return np.asarray(_residuals(target, jnp.asarray(z, arrays.shift.dtype), arrays), dtype=np.float64)

    jacobian = np.asarray(_jacobian(target, jnp.asarray(z, arrays.shift.dtype), arrays), dtype=np.float64)
    directions, strengths, left = np.linalg.svd(jacobian, full_matrices=False)
    here, steps = residuals(z), directions.T / strengths[:, None]
    beyond = [residuals(z + step) - here - step @ jacobian for step in (*steps, *-steps)]
    bends = np.max(np.abs(np.stack(beyond) @ left.T), axis=0)
    return Curvature(here, left, 1 / strengths, directions.T, bends)


def _known(problem: Problem, found: _Found, others: list[_Found]) -> bool:
    """Whether one of the others is within a few standard deviations, per dimension, by either's curvature."""
    for other in others:
        # Cut between the two: at a cut, latent coordinates are far apart and curvatures those of the prior.
        pair = problem.cut_opposite(np.stack([np.asarray(found.theta), np.asarray(other.theta)]))
        here, there = (
            np.asarray(pair.target.latent(f.theta, pair.arrays.shift), dtype=np.float64) for f in (found, other)
        )
        for theta in (found.theta, other.theta):
            if (there - here) @ np.linalg.solve(_covariance(pair, theta), there - here) < _SAME_MODE**2 * here.size:
                return True
    return False


@partial(jax.jit, static_argnums=0)
def _residuals(target: Target, z: jax.Array, arrays: Arrays) -> jax.Array:
    return target.residuals(z, arrays)


@partial(jax.jit, static_argnums=0)
def _jacobian(target: Target, z: jax.Array, arrays: Arrays) -> jax.Array:
    """(ndim, 4 n*n + ndim): one tangent after the other, which on CPU beats all at once."""
    _, tangent = jax.linearize(lambda z: target.residuals(z, arrays), z)
    return jax.lax.map(tangent, jnp.eye(target.ndim, dtype=z.dtype))
