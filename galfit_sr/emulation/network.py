"""How a Flax network becomes an emulator: scaling before and after, and an error that it learnt from held-out maps."""

from __future__ import annotations

import dataclasses
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from .emulator import Estimate, Inputs
from .scale_free import amplitudes, context, from_scale_free, to_scale_free


class Network(Protocol):
    """The hyperparameters of a network: a frozen dataclass, hashable, from which the module is built."""

    def __hash__(self) -> int: ...

    def build(self, rngs: nnx.Rngs) -> nnx.Module:
        """A module that is called with maps (b, n, n, 4), in [0, 1], and context (b, c), and returns (b, s n, s n, 4).

        The context has the entries of `scale_free.CONTEXT`. Modules may ignore it.
        """


class Weights(NamedTuple):
    """What a trained network consists of.

    Attributes:
        network: state of the module, nested dictionaries of arrays.
        ranges: (2, 4) least and greatest scale-free value per map that become 0 and 1.
        error: (4, k) natural logarithm of the error per map, in scale-free units, as Chebyshev series in the distance
            from the galaxy's centre (see `error_maps`).
    """

    network: Any
    ranges: Any
    error: Any


@dataclasses.dataclass(frozen=True)
class NetworkFunction:
    """The function of an `Emulator` whose weights are `Weights`."""

    network: Network

    def __call__(self, weights: Weights, inputs: Inputs) -> Estimate:
        """Scaled, through the network, and back."""
        unit = amplitudes(inputs.values, inputs.scene)
        facts = context(inputs.values, inputs.scene)
        low = to_scale_free(inputs.maps, unit)
        high = predict(self.network, weights.network, weights.ranges, low[None], facts[None])[0]
        size = low.shape[0]
        maps = from_scale_free(restored(high, weights.ranges), unit)
        error = error_maps(weights.error, facts, size, high.shape[0] // size)
        return Estimate(maps, from_scale_free(error, unit._replace(brightness=jnp.zeros_like(unit.brightness))))


def predict(network: Network, weights: Any, ranges: jax.Array, low: jax.Array, context: jax.Array) -> jax.Array:
    """Maps at high resolution with `ranges` mapped to [0, 1].

    Args:
        network: and its `weights`.
        ranges: (2, 4) see `network.Weights`.
        low: (b, n, n, 4) scale-free.
        context: (b, c).

    Returns:
        (b, N, N, 4).
    """
    return nnx.merge(structure(network), nnx.State(weights))(normalised(low, ranges), context)


@lru_cache
def structure(network: Network) -> nnx.GraphDef:
    """The module without its numbers."""
    return nnx.graphdef(_abstract(network))


def blank(network: Network) -> dict[Any, Any]:
    """Shapes of the module's numbers, as `Weights.network` holds them."""
    return nnx.to_pure_dict(nnx.state(_abstract(network), nnx.Param))


def _abstract(network: Network) -> nnx.Module:
    return nnx.eval_shape(lambda: network.build(nnx.Rngs(0)))


def normalised(scale_free: jax.Array, ranges: jax.Array) -> jax.Array:
    """Scale-free maps (..., 4) with `ranges` mapped to [0, 1], and clipped there.

    Clipping keeps a single broken pixel, such as one that hits a cusp, from reaching its neighbours.
    """
    return jnp.clip(scaled(scale_free, ranges), 0.0, 1.0)


def scaled(scale_free: jax.Array, ranges: jax.Array) -> jax.Array:
    """Scale-free maps (..., 4) with `ranges`, (2, 4), mapped to [0, 1]."""
    low, high = _for_each_map(ranges, scale_free.ndim)
    return (scale_free - low) / (high - low)


def restored(maps: jax.Array, ranges: jax.Array) -> jax.Array:
    """The reverse of `scaled`."""
    low, high = _for_each_map(ranges, maps.ndim)
    return low + maps * (high - low)


def _for_each_map(ranges: jax.Array, dimensions: int) -> jax.Array:
    return ranges.reshape(2, *[1] * (dimensions - 1), -1)


def error_maps(error: jax.Array, facts: jax.Array, size: int, scale: int) -> jax.Array:
    """(scale size, scale size, 4) one standard deviation of each map, scale-free, constant in every low pixel.

    Args:
        error: (4, k) Chebyshev coefficients of its logarithm.
        facts: (c,) `context`, whose first two entries are the centre.
        size: pixels of the low resolution along a side.
        scale: pixels of the maps along a side of one of them.
    """
    x, y = (jnp.arange(size, dtype=facts.dtype) - facts[i] for i in (0, 1))
    series = chebyshev_in_distance(x[None, :] ** 2 + y[:, None] ** 2, size, error.shape[1])
    coarse = jnp.exp(jnp.einsum("yxk,mk->yxm", series, error))
    return jnp.repeat(jnp.repeat(coarse, scale, axis=0), scale, axis=1)


def chebyshev_in_distance(squared: jax.Array, size: int, count: int) -> jax.Array:
    """Chebyshev polynomials (..., count) in the logarithm of the distance from the centre.

    Args:
        squared: (...) square of the distance, in pixels of the low resolution.
        size: of those along a side; beyond a distance of three quarters of it the polynomials stay constant.
        count: how many.
    """
    t = 2 * jnp.log1p(squared / _CORE**2) / np.log1p((_REACH * size / _CORE) ** 2) - 1
    t = jnp.minimum(t, 1.0)
    polynomials = [jnp.ones_like(t), t]
    while len(polynomials) < count:
        polynomials.append(2 * t * polynomials[-1] - polynomials[-2])
    return jnp.stack(polynomials[:count], axis=-1)


_CORE = 0.5
_REACH = 0.75
