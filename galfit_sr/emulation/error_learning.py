"""How a network's error is learnt: the likelihood of its residuals, on galaxies that it did not learn from."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from ..progress import Progress
from .error import ErrorNetwork, local_features
from .examples import Examples
from .learning import in_batches
from .network import structure

_PIXELS = 4096
"""Low pixels per step."""
_BATCH = 64
_STEPS_BETWEEN_REPORTS = 64
_STEPS = 3
"""For each galaxy."""
_RATE = 0.01
_CENTRE_SHARE = 0.6
"""Of the pixels that are drawn as 1 / (1 + squared distance from the centre), where few pixels matter most."""
_LEAST_SPREAD = 1e-3


class _Pixels(NamedTuple):
    """What a step learns from.

    Attributes:
        local: (p, LOCAL) `local_features`, scaled.
        context: (p, c) scaled.
        added: (p, s, s, 4) of the sub-pixels.
        residual: (p, s, s, 4) of the sub-pixels.
    """

    local: Any
    context: Any
    added: Any
    residual: Any


def learn_error(
    residual: np.ndarray,
    added: np.ndarray,
    examples: Examples,
    seed: int,
    progress: Progress,
    features: int = ErrorNetwork.features,
) -> dict[Any, Any]:
    """Weights of the `ErrorNetwork` under which residuals are likeliest as normal numbers.

    There are three steps of Adam for each galaxy; the learning rate falls to zero as a cosine.

    Args:
        residual: (n, N, N, 4) maps of the network less those of the model, scale-free; what is not finite is left out.
        added: (n, N, N, 4) what will be added to the sigma that is learnt, see `network.unfounded`.
        examples: of which galaxies.
        seed: of the first weights and of the pixels' order.
        progress: called with stage, fraction done and a few words.
        features: of the hidden layers.

    Returns:
        nested dictionaries of NumPy arrays; the same for the same arguments.
    """
    count, size = examples.low.shape[:2]
    steps = _STEPS * count
    network = ErrorNetwork(residual.shape[1] // size, features, examples.context.shape[1])
    local, local_scaling = _scaled(in_batches(_local, _BATCH, examples.low, examples.context))
    context, context_scaling = _scaled(examples.context)
    blocks = [a.reshape(count, size, network.scale, size, network.scale, -1) for a in (added, residual)]
    state = _begin(network, residual, steps, seed)
    drawn = np.cumsum(_shares(examples.context, size))
    random = np.random.default_rng(seed)
    for k in range(steps):
        chosen = np.searchsorted(drawn, random.random(_PIXELS) * drawn[-1])
        galaxy, y, x = np.unravel_index(chosen, (count, size, size))
        some = _Pixels(local[galaxy, y, x], context[galaxy], *(block[galaxy, y, :, x] for block in blocks))
        state, loss = _step(network, steps, state, some)
        if (k + 1) % _STEPS_BETWEEN_REPORTS == 0:
            progress("error", (k + 1) / steps, f"loss {float(loss):.3f}")
    return jax.device_get(_unscaled(state[0], local_scaling, context_scaling))


_local = jax.jit(jax.vmap(local_features))


def _scaled(numbers: np.ndarray) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """Numbers (..., c) with a mean of 0 and a spread of 1, and what these were, (c,) each."""
    axes = tuple(range(numbers.ndim - 1))
    mean, spread = numbers.mean(axes), numbers.std(axes) + np.float32(_LEAST_SPREAD)
    return (numbers - mean) / spread, (mean, spread)


def _begin(network: ErrorNetwork, residual: np.ndarray, steps: int, seed: int) -> tuple[Any, Any]:
    """Weights that give about the rms of all residuals everywhere, and Adam's moments."""
    weights = nnx.to_pure_dict(nnx.state(network.build(nnx.Rngs(seed)), nnx.Param))
    square = np.mean(residual**2, axis=(0, 1, 2), dtype=np.float64, where=np.isfinite(residual))
    spread = np.sqrt(square + network.floor**2)
    weights["last"]["bias"] = jnp.asarray(np.tile(np.log(spread), network.scale**2), jnp.float32)
    return weights, _adam(steps).init(weights)


def _adam(steps: int) -> optax.GradientTransformation:
    return optax.chain(optax.clip_by_global_norm(1.0), optax.adam(optax.cosine_decay_schedule(_RATE, steps)))


@partial(jax.jit, static_argnames=("network", "steps"), donate_argnames="state")
def _step(network: ErrorNetwork, steps: int, state: tuple[Any, Any], some: _Pixels) -> tuple[Any, jax.Array]:
    added, residual = (a.reshape(len(a), -1) for a in (some.added, some.residual))
    finite = jnp.isfinite(residual)
    squared = jnp.where(finite, residual, 0.0) ** 2
    added = jnp.where(finite, added, 0.0)

    def loss(weights: Any) -> jax.Array:
        sigma = added + nnx.merge(structure(network), nnx.State(weights))(some.local, some.context)
        return jnp.mean(jnp.log(sigma) + squared / (2 * sigma**2), where=finite)

    weights, moments = state
    found, slope = jax.value_and_grad(loss)(weights)
    updates, moments = _adam(steps).update(slope, moments)
    return (optax.apply_updates(weights, updates), moments), found


def _unscaled(weights: dict[Any, Any], *scalings: tuple[np.ndarray, np.ndarray]) -> dict[Any, Any]:
    """Weights that give for numbers as they are what these give for scaled ones."""
    kernels = [
        weights[name]["kernel"] / spread[:, None]
        for name, (_, spread) in zip(("local", "context"), scalings, strict=True)
    ]
    shift = sum(mean @ kernel for kernel, (mean, _) in zip(kernels, scalings, strict=True))
    local = {"kernel": kernels[0], "bias": weights["local"]["bias"] - shift}
    return {**weights, "local": local, "context": {"kernel": kernels[1]}}


def _shares(context: np.ndarray, size: int) -> np.ndarray:
    """(n, size, size) how often a low pixel is drawn."""
    x, y = (np.arange(size) - context[:, i, None] for i in (0, 1))
    near = 1 / (1 + x[:, None, :] ** 2 + y[:, :, None] ** 2)
    return (1 - _CENTRE_SHARE) / size**2 + _CENTRE_SHARE * near / near.sum(axis=(1, 2), keepdims=True)
