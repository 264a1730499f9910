"""Learning: the loss of a network on examples, and the steps of Adam that lower it."""

from __future__ import annotations

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


@partial(jax.jit, static_argnames="descent", donate_argnames="state")
def step(
    descent: Descent, state: State, ranges: jax.Array, examples: Examples, rows: jax.Array, rate: jax.Array
) -> tuple[State, jax.Array]:
    """One step. Several in one program would not do: inside a loop XLA's convolutions on CPUs are 30 times slower.

    Args:
        descent: how.
        state: its memory is used again.
        ranges: (2, 4).
        examples: all of them.
        rows: (batch,) which examples it takes.
        rate: share of the learning rate.

    Returns:
        state afterwards, and the mean loss before.
    """
    some = jax.tree.map(lambda array: array[rows], examples)
    loss, slope = jax.value_and_grad(lambda weights: jnp.mean(losses(descent, weights, ranges, some)))(state.weights)
    updates, optimiser = _adam(descent).update(slope, state.optimiser)
    reduced = jax.tree.map(lambda update: rate * update, updates)
    return State(optax.apply_updates(state.weights, reduced), optimiser), loss


@lru_cache
def _adam(descent: Descent) -> optax.GradientTransformation:
    return optax.adam(descent.learning_rate, descent.beta1, descent.beta2)


def batches(count: int, size: int) -> list[np.ndarray]:
    """Indices 0 to count - 1 in batches of one size; the last is filled up with the last index."""
    return [np.minimum(np.arange(start, start + size), count - 1) for start in range(0, count, size)]


def mean_loss(descent: Descent, weights: Any, ranges: jax.Array, examples: Examples, batch: int) -> float:
    """Mean loss over all examples, `batch` at a time."""
    found = [
        losses(descent, weights, ranges, jax.tree.map(lambda array, rows=rows: array[rows], examples))
        for rows in batches(len(examples.low), batch)
    ]
    return float(np.concatenate([np.asarray(part) for part in found])[: len(examples.low)].mean(dtype=np.float64))
