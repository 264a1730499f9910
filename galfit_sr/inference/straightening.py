"""Where a posterior's sharpest ridges run, found and learnt.

At some thousand places along them it is solved for by Broyden's method (1965, Math. Comput. 19, 577), and a perceptron
learns it from there.
"""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ..devices import devices_for, spread
from ..progress import Progress
from .maximum import Curvature, Mode, curvature_of
from .mixture import MOST_COMPONENTS
from .perceptron import Perceptron, perceptron, untrained
from .problem import Arrays, Problem, Target, in_chunks
from .ridge import SHARP, Ridge, RidgedArrays, RidgedTarget, along

_SCOUTS, _SCOUT_STEPS = 2048, 6
"""Places where the ridges are solved for without an idea of where they are, and predictions that each takes."""
_PLACES, _STEPS = 16384, 2
"""The same from where a perceptron that has learnt from the first expects them."""
LOOKS = _SCOUTS * _SCOUT_STEPS + _PLACES * _STEPS
_CURVED = 10.0
"""Of a posterior whose ridges are straightened: standard deviations of a sharp direction by which the others bend it,
one standard deviation from the maximum."""
_FARTHEST = 1.0
"""Bound on a step along a sharp direction, in standard deviations of the prior."""
_LEAST = 1e-9
_WIDER = 1.5
"""Times the Laplace approximation, from which half of the places are drawn: posteriors have longer arms."""
_EXACT, _CLOSE = 0.01, 0.1
"""Errors that count little: of the spread of the ridge's places, and in standard deviations across it."""
_BATCH, _UPDATES, _RATE = 256, 6000, 3e-3


def straightened(
    problem: Problem, modes: tuple[Mode, ...], seed: int, progress: Progress | None = None
) -> tuple[Problem, tuple[Mode, ...], int]:
    """The problem and its modes in coordinates in which its sharpest ridges are straight; as they are if none is bent.

    Args:
        problem: cut between its modes.
        modes: the best first.
        seed: of the places where the ridges are looked for, and of what learns them.
        progress: called with a phrase, None and a few words.

    Returns:
        problem, modes, and the predictions that it took to see.
    """
    ndim = problem.target.ndim
    if ndim <= SHARP:
        return problem, modes, 0
    curvature = curvature_of(problem, modes[0].z)
    looks = 2 * ndim + 1
    if np.max(curvature.bends) < _CURVED:
        return problem, modes, looks
    if progress is not None:
        progress("bending", None, "sharp ridges")
    ridge = _found(problem, modes[:MOST_COMPONENTS], curvature, np.random.SeedSequence(seed))
    ridged = along(problem, ridge)
    return ridged, tuple(_straight_mode(ridged, mode) for mode in modes), looks + LOOKS


def _found(problem: Problem, modes: tuple[Mode, ...], curvature: Curvature, seed: np.random.SeedSequence) -> Ridge:
    """The ridge through the best mode, as it is around all of them; on the host."""
    draws_seed, weights_seed, order_seed = (int(word) for word in seed.generate_state(3))
    centre, bent = modes[0].z, np.argsort(-curvature.bends)
    sharp, wide = curvature.directions[bent[:SHARP]].T, curvature.directions[bent[SHARP:]].T
    deviations = curvature.deviations[bent[:SHARP]]
    seen = curvature.left[bent[:SHARP]] * deviations[:, None]
    pinned = _Pinned(centre, sharp, seen, seen @ curvature.residuals)
    places = _places(modes, draws_seed)
    places -= (places - centre) @ sharp @ sharp.T
    away = (places - centre) @ wide
    widths = np.std(away, axis=0)
    x = away / widths
    network = untrained((), x.shape[1], SHARP, weights_seed)
    for number, steps in ((_SCOUTS, _SCOUT_STEPS), (_PLACES, _STEPS)):
        expected = _expected(network, x[:number])
        bends, last = _solved(problem, pinned, places[:number], expected, steps)
        network = _learnt(network, x[:number], bends, last, deviations, jax.random.key(order_seed))
    return Ridge(centre, sharp, wide / widths, network)


def _straight_mode(ridged: Problem, mode: Mode) -> Mode:
    z = jnp.asarray(mode.z, ridged.arrays.shift.dtype)
    y, slopes = _straight(cast(Any, ridged.target), z, cast(Any, ridged.arrays))
    slopes = np.asarray(slopes, dtype=np.float64)
    return dataclasses.replace(mode, z=np.asarray(y, dtype=np.float64), covariance=slopes @ mode.covariance @ slopes.T)


@partial(jax.jit, static_argnums=0)
def _straight(target: RidgedTarget, z: jax.Array, arrays: RidgedArrays) -> tuple[jax.Array, jax.Array]:
    """y (ndim,) of z, and its slopes dy/dz (ndim, ndim)."""
    return target.straight(z, arrays), jax.jacfwd(target.straight)(z, arrays)


class _Pinned(NamedTuple):
    """What the data pin.

    Attributes:
        centre: (ndim,) the maximum.
        sharp: (ndim, SHARP) unit vectors along which it changes.
        rows: (SHARP, m) what of the residuals tells of it, in units of a step along `sharp`.
        level: (SHARP,) the same at the maximum.
    """

    centre: Any
    sharp: Any
    rows: Any
    level: Any


def _places(modes: tuple[Mode, ...], seed: int) -> np.ndarray:
    """(_PLACES, ndim) draws from the Laplace approximations, of all modes in turn, half of them wider."""
    rng = np.random.default_rng(seed)
    drawn = rng.standard_normal((_PLACES, modes[0].z.size))
    drawn[rng.random(_PLACES) < 0.5] *= _WIDER
    for number, mode in enumerate(modes):
        values, vectors = np.linalg.eigh(mode.covariance)
        turn = slice(number, None, len(modes))
        drawn[turn] = mode.z + drawn[turn] * np.sqrt(np.minimum(values, 1.0)) @ vectors.T
    return drawn


_each = jax.jit(jax.vmap(perceptron, (None, 0)))


def _expected(network: Perceptron, x: np.ndarray) -> np.ndarray:
    """(n, SHARP) where a network expects the ridges to be, by places along them x (n, inputs)."""
    weights, places = jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), (network, x))
    return np.asarray(_each(weights, places), dtype=np.float64)


def _solved(
    problem: Problem, pinned: _Pinned, places: np.ndarray, expected: np.ndarray, steps: int
) -> tuple[np.ndarray, np.ndarray]:
    """How far the ridges are from places (n, ndim) between them, and the last step of finding that, (n, SHARP) each.

    Args:
        problem: the galaxy.
        pinned: what the data pin.
        places: (n, ndim) on straight ridges.
        expected: (n, SHARP) from where the search begins.
        steps: predictions that it takes.
    """
    target, arrays, dtype = problem.target, problem.arrays, problem.arrays.shift.dtype
    pinned = jax.tree.map(lambda a: jnp.asarray(a, dtype), pinned)
    rows = np.concatenate([places, expected], axis=1)
    found = in_chunks(lambda rows: _broyden(target, steps, pinned, rows, arrays), rows, dtype)
    return found[:, :SHARP], found[:, SHARP:]


@partial(jax.jit, static_argnums=(0, 1))
def _broyden(target: Target, steps: int, pinned: _Pinned, rows: jax.Array, arrays: Arrays) -> jax.Array:
    """(n, 2 SHARP) for rows (n, ndim + SHARP), arguments as for `_solved`."""

    def off(place: jax.Array, bend: jax.Array, pinned: _Pinned, arrays: Arrays) -> jax.Array:
        seen = pinned.rows @ target.residuals(place + pinned.sharp @ bend, arrays) - pinned.level
        return jnp.clip(jnp.where(jnp.isfinite(seen), seen, 0.0), -_FARTHEST, _FARTHEST)

    def one(row: jax.Array, pinned: _Pinned, arrays: Arrays) -> jax.Array:
        place, expected = jnp.split(row, (target.ndim,))

        def step(state: Any, _: None) -> tuple[Any, None]:
            bend, inverse, before, move = state
            now = off(place, bend, pinned, arrays)
            # Broyden's correction of the inverse slopes by what the last move changed.
            moved = inverse @ (now - before)
            scale = move @ moved
            usable = jnp.abs(scale) > _LEAST
            correction = jnp.outer(move - moved, move @ inverse) / jnp.where(usable, scale, 1.0)
            inverse += jnp.where(usable, correction, 0.0)
            move = -jnp.clip(inverse @ now, -_FARTHEST, _FARTHEST)
            return (bend + move, inverse, now, move), None

        start = (expected, jnp.eye(SHARP, dtype=row.dtype), jnp.zeros_like(expected), jnp.zeros_like(expected))
        (bend, _, _, move), _ = jax.lax.scan(step, start, None, steps)
        return jnp.concatenate([bend, move])

    return spread(one, devices_for(len(rows)), rows, pinned, arrays)


def _learnt(
    start: Perceptron, x: np.ndarray, bends: np.ndarray, last: np.ndarray, deviations: np.ndarray, key: jax.Array
) -> Perceptron:
    """A perceptron of places along the ridges x (n, inputs) that gives those across them.

    Args:
        start: what is known already.
        x, bends, last: (n, ...) places, what was found there, and the last step of finding it.
        deviations: (SHARP,) of the posterior across the ridges.
        key: of what is learnt when.
    """
    # Where the last step was long, nothing was found.
    weight = 1 / (1 + np.sum((last / deviations) ** 2, axis=1))
    middle = np.median(bends, axis=0)
    spread_out = 1.5 * np.median(np.abs(bends - middle), axis=0)
    size = np.maximum(spread_out, deviations)
    counts = np.maximum(_EXACT * spread_out, _CLOSE * deviations) / size
    data = (x, bends / size, weight / weight.mean(), counts)
    start = start._replace(last=start.last / size, last_bias=start.last_bias / size)
    learnt = _train(*jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), (start, data)), key)
    learnt = jax.tree.map(np.asarray, learnt)
    return learnt._replace(last=learnt.last * size, last_bias=learnt.last_bias * size)


@jax.jit
def _train(start: Perceptron, data: tuple[jax.Array, ...], key: jax.Array) -> Perceptron:
    """Adam, on the logarithm of squared errors: a few places that are far off must not cost the others."""
    x, bends, weight, counts = data
    optimiser = optax.adam(optax.cosine_decay_schedule(_RATE, _UPDATES))

    def loss(weights: Perceptron, rows: jax.Array) -> jax.Array:
        errors = (_each(weights, x[rows]) - bends[rows]) / counts[None, :]
        return jnp.mean(weight[rows, None] * jnp.log1p(errors**2))

    def step(state: Any, key: jax.Array) -> tuple[Any, None]:
        weights, moments = state
        slope = jax.grad(loss)(weights, jax.random.randint(key, (_BATCH,), 0, len(x)))
        updates, moments = optimiser.update(slope, moments, weights)
        return (optax.apply_updates(weights, updates), moments), None

    (weights, _), _ = jax.lax.scan(step, (start, optimiser.init(start)), jax.random.split(key, _UPDATES))
    return weights
