"""Learning: the loss of a network on examples, and the steps of Adam that lower it."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from ..maps import TYPICAL_NOISE
from .examples import Examples
from .network import Network, predict, scaled
from .scale_free import Amplitudes


class Descent(NamedTuple):
    """How weights are found; hashable, so that compiled programs are kept.

    Attributes:
        network: whose weights.
        loss: per galaxy, `l1`: mean absolute error of maps scaled to [0, 1]; `noise`: rms error in units of
            `TYPICAL_NOISE`.
        learning_rate, beta1, beta2: of Adam (Kingma & Ba 2015, arXiv:1412.6980).
    """

    network: Network
    loss: Literal["l1", "noise"]
    learning_rate: float
    beta1: float
    beta2: float


class State(NamedTuple):
    """What a step changes.

    Attributes:
        weights: of the network, nested dictionaries of arrays.
        optimiser: Adam's moments.
    """

    weights: Any
    optimiser: Any


def begin(descent: Descent, seed: int) -> State:
    """State before the first step."""
    module = descent.network.build(nnx.Rngs(seed))
    weights = nnx.to_pure_dict(nnx.state(module, nnx.Param))
    return State(weights, _adam(descent).init(weights))


def noise(unit: Amplitudes) -> jax.Array:
    """(b, 4) typical noise in scale-free units, for galaxies of amplitudes (b,)."""
    ones = jnp.ones_like(unit.velocity)
    scales = (ones, unit.velocity, unit.velocity, unit.ml)
    return jnp.stack([typical / scale for typical, scale in zip(TYPICAL_NOISE, scales, strict=True)], axis=-1)


@partial(jax.jit, static_argnames="descent")
def losses(descent: Descent, weights: Any, ranges: jax.Array, examples: Examples) -> jax.Array:
    """(b,) loss of each of a batch of examples."""
    target = scaled(examples.high, ranges)
    error = predict(descent.network, weights, ranges, examples.low, examples.context) - target
    if descent.loss == "l1":
        return jnp.mean(jnp.abs(error), axis=(1, 2, 3))
    in_noise = error * ((ranges[1:] - ranges[:1]) / noise(examples.unit))[:, None, None, :]
    # The root of zero has no gradient.
    return jnp.sqrt(jnp.mean(in_noise**2, axis=(1, 2, 3)) + _LEAST)


_LEAST = 1e-8


def steps_at_once(steps: int) -> int:
    """How many of so many steps one program is to take.

    On a CPU one, since inside a loop XLA's convolutions are 30 times slower there. Elsewhere all: a step takes the
    device a fraction of the time that it takes to send one off.
    """
    return 1 if jax.default_backend() == "cpu" else steps


@partial(jax.jit, static_argnames="descent", donate_argnames="state")
def learn_from(
    descent: Descent, state: State, ranges: jax.Array, examples: Examples, rows: jax.Array, rate: jax.Array
) -> tuple[State, jax.Array]:
    """Some steps, one after the other.

    Args:
        descent: how.
        state: its memory is used again.
        ranges: (2, 4).
        examples: all of them.
        rows: (steps, batch) which examples they take.
        rate: share of the learning rate.

    Returns:
        state afterwards, and the mean loss before each step, (steps,).
    """

    def one(state: State, rows: jax.Array) -> tuple[State, jax.Array]:
        some = jax.tree.map(lambda array: array[rows], examples)
        loss, slope = jax.value_and_grad(lambda w: jnp.mean(losses(descent, w, ranges, some)))(state.weights)
        updates, optimiser = _adam(descent).update(slope, state.optimiser)
        reduced = jax.tree.map(lambda update: rate * update, updates)
        return State(optax.apply_updates(state.weights, reduced), optimiser), loss

    if len(rows) > 1:
        return jax.lax.scan(one, state, rows)
    state, loss = one(state, rows[0])
    return state, loss[None]


@lru_cache
def _adam(descent: Descent) -> optax.GradientTransformation:
    return optax.adam(descent.learning_rate, descent.beta1, descent.beta2)


def batches(count: int, size: int) -> list[np.ndarray]:
    """Indices 0 to count - 1 in batches of one size; the last is filled up with the last index."""
    return [np.minimum(np.arange(start, start + size), count - 1) for start in range(0, count, size)]


def in_batches(function: Callable[..., jax.Array], size: int, *columns: np.ndarray) -> np.ndarray:
    """(n, ...) what a function makes of columns (n, ...), `size` rows of them at a time."""
    count = len(columns[0])
    parts = [np.asarray(function(*(column[rows] for column in columns))) for rows in batches(count, size)]
    return np.concatenate(parts)[:count]


def mean_loss(descent: Descent, weights: Any, ranges: jax.Array, examples: Examples, batch: int) -> float:
    """Mean loss over all examples, `batch` at a time."""
    count = len(examples.low)
    rows = np.stack(batches(count, batch))
    size = steps_at_once(len(rows))
    found = [_losses_of(descent, weights, ranges, examples, rows[k : k + size]) for k in range(0, len(rows), size)]
    return float(np.concatenate([np.asarray(part) for part in found])[:count].mean(dtype=np.float64))


@partial(jax.jit, static_argnames="descent")
def _losses_of(descent: Descent, weights: Any, ranges: jax.Array, examples: Examples, rows: jax.Array) -> jax.Array:
    """(k batch,) losses of examples in k batches, rows (k, batch)."""

    def one(rows: jax.Array) -> jax.Array:
        return losses(descent, weights, ranges, jax.tree.map(lambda array: array[rows], examples))

    return one(rows[0]) if len(rows) == 1 else jax.lax.map(one, rows).reshape(-1)
