"""The error of a network: a small network of its own, from what the low resolution shows to one sigma per pixel.

How far upsampling is off follows from how maps bend between pixels, from where the centre lies, and from sizes that no
low pixel resolves. Errors span seven decades, so all of it enters, and the answer leaves, as logarithms.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
from flax import nnx

from ..maps import MAP_NAMES
from .scale_free import CONTEXT

LOCAL = 6 * len(MAP_NAMES) + 8
"""Numbers that `local_features` gives for a pixel."""
_BEND = 1e-6


@dataclasses.dataclass(frozen=True)
class ErrorNetwork:
    """Hyperparameters.

    Attributes:
        scale: pixels of the maps along a side of one of the low resolution.
        features: of the two hidden layers.
        facts: entries of the context, see `scale_free.context_names`.
        floor: least error, scale-free: a hundredth of what single precision rounds maps to.
    """

    scale: int
    features: int = 32
    facts: int = len(CONTEXT)
    floor: float = 1e-9

    def build(self, rngs: nnx.Rngs) -> nnx.Module:
        """The module: called with `local_features` and context of low pixels, it gives sigmas of their sub-pixels."""
        return _Module(self, rngs)


class _Module(nnx.Module):
    def __init__(self, network: ErrorNetwork, rngs: nnx.Rngs) -> None:
        features = network.features
        self.floor = network.floor
        self.local = nnx.Linear(LOCAL, features, rngs=rngs)
        self.context = nnx.Linear(network.facts, features, use_bias=False, rngs=rngs)
        self.hidden = nnx.Linear(features, features, rngs=rngs)
        self.last = nnx.Linear(features, len(MAP_NAMES) * network.scale**2, rngs=rngs)

    def __call__(self, local: jax.Array, context: jax.Array) -> jax.Array:
        """(..., LOCAL) and (..., c) to (..., 4 scale^2), never below the floor, in the order of `depth_to_space`."""
        # A hyperbolic tangent is bounded, and so is the error of a galaxy that resembles none in training.
        first = jnp.tanh(self.local(local) + self.context(context))
        return self.floor + jnp.exp(self.last(jnp.tanh(self.hidden(first))))


def local_features(low: jax.Array, context: jax.Array) -> jax.Array:
    """(n, n, LOCAL) what a low pixel and its eight neighbours show.

    Args:
        low: (n, n, 4) scale-free maps.
        context: (c,) see `scale_free.context_names`.
    """
    n = low.shape[0]
    padded = jnp.pad(low, ((1, 1), (1, 1), (0, 0)), mode="edge")

    def moved(rows: int, columns: int) -> jax.Array:
        return padded[1 + rows : 1 + rows + n, 1 + columns : 1 + columns + n]

    differences = [
        (moved(0, 1) - moved(0, -1)) / 2,
        (moved(1, 0) - moved(-1, 0)) / 2,
        moved(0, 1) + moved(0, -1) - 2 * low,
        moved(1, 0) + moved(-1, 0) - 2 * low,
        (moved(1, 1) + moved(-1, -1) - moved(1, -1) - moved(-1, 1)) / 4,
    ]
    logarithms = [jnp.log(d**2 + _BEND**2) / 2 for d in (*differences, low[..., 1:])]
    return jnp.concatenate([*logarithms, low[..., :1], _place(n, context)], axis=-1)


def _place(n: int, context: jax.Array) -> jax.Array:
    """(n, n, 8) where pixels lie from the centre: logarithms of distances, and what tells sub-pixels apart close by."""
    place = dict(zip(CONTEXT, context, strict=False))
    pixels = jnp.arange(n, dtype=context.dtype)
    x, y = jnp.meshgrid(pixels - place["column"], pixels - place["row"])
    cos, sin = place["cos_position_angle"], place["sin_position_angle"]
    # Of a disc seen edge-on there is no deprojected distance.
    flattening = jnp.maximum(place["cos_inclination"], _FLATTEST)
    along, across = x * cos + y * sin, y * cos - x * sin
    squared = x**2 + y**2
    distances = [
        squared,
        along**2 + (across / flattening) ** 2,
        across**2 + (along / flattening) ** 2,
    ]
    near = 1 / (1 + squared)
    logarithms = [jnp.log(d + _CORE**2) / 2 for d in distances]
    return jnp.stack([*logarithms, x * near, y * near, x**2 * near, x * y * near, near], axis=-1)


_CORE = 0.17
_FLATTEST = 0.1
