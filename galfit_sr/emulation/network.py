"""How a Flax network becomes an emulator: scaling before and after, and an error that it learnt from held-out maps."""

from __future__ import annotations

import dataclasses
from functools import lru_cache, partial
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
from flax import nnx

from ..errors import InputError
from ..maps import MAP_NAMES
from .emulator import Estimate, Inputs
from .error import ErrorNetwork, local_features
from .recipe import Recipe
from .scale_free import amplitudes, context, context_names, from_scale_free, to_scale_free, without_zero
from .upsampling import depth_to_space


class Network(Protocol):
    """The hyperparameters of a network: a frozen dataclass, hashable, from which the module is built."""

    def __hash__(self) -> int: ...

    def build(self, rngs: nnx.Rngs) -> nnx.Module:
        """A module that is called with maps (b, n, n, 4), in [0, 1], and context (b, c), and returns (b, s n, s n, 4).

        The context has the entries of `scale_free.context_names`. Modules may ignore it.
        """


class Weights(NamedTuple):
    """What a trained network consists of.

    Attributes:
        network: state of the module, nested dictionaries of arrays.
        ranges: (2, 4) least and greatest scale-free value per map that become 0 and 1.
        error: state of the `ErrorNetwork`, likewise.
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
        shown = restored(high, weights.ranges)
        error = estimate_error(weights, low[None], facts[None], shown[None])[0]
        return Estimate(from_scale_free(shown, unit), from_scale_free(error, without_zero(unit)))


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


def check_scale(network: Network, recipe: Recipe) -> None:
    """Raises InputError unless a network gives as many pixels as a recipe asks for."""
    size, high = recipe.low.size, recipe.high.size
    shapes = ((2, len(MAP_NAMES)), (1, size, size, len(MAP_NAMES)), (1, len(context_names(recipe.components))))
    given = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
    (_, found, _, _) = jax.eval_shape(partial(predict, network), blank(network), *given).shape
    if found != high:
        raise InputError(
            f"{network} makes {found}x{found} pixels of {size}x{size}, and the recipe asks for {high}x{high}; choose"
            " canvases that fit"
        )


def estimate_error(weights: Weights, low: jax.Array, context: jax.Array, maps: jax.Array) -> jax.Array:
    """One standard deviation of a network's maps, in scale-free units.

    Args:
        weights: of the network.
        low: (b, n, n, 4) scale-free.
        context: (b, c).
        maps: (b, N, N, 4) what the network makes of them, scale-free.

    Returns:
        (b, N, N, 4).
    """
    scale = maps.shape[1] // low.shape[1]
    return learnt_error(weights.error, low, context, scale) + unfounded(low, maps, weights.ranges)


def learnt_error(weights: Any, low: jax.Array, context: jax.Array, scale: int) -> jax.Array:
    """What the `ErrorNetwork` of some weights makes of galaxies.

    Args:
        weights: of the error alone.
        low: (b, n, n, 4) scale-free.
        context: (b, c).
        scale: pixels of the maps along a side of a low one.

    Returns:
        (b, scale n, scale n, 4).
    """
    network = ErrorNetwork(scale, weights["last"]["kernel"].shape[0], context.shape[-1])
    module = nnx.merge(structure(network), nnx.State(weights))
    return depth_to_space(module(jax.vmap(local_features)(low, context), context[:, None, None]), scale)


def unfounded(low: jax.Array, maps: jax.Array, ranges: jax.Array) -> jax.Array:
    """What in maps nothing at low resolution speaks for; it counts as error in full.

    Where low maps reach beyond `ranges`, which a network does not see (see `normalised`), how far they do. And how far
    M/L reaches beyond the nine low pixels around: it is a mean over light and hardly does that, and networks draw
    structure where it jumps between components of very unequal M/L.

    Args:
        low: (b, n, n, 4) scale-free.
        maps: (b, N, N, 4) what a network makes of them.
        ranges: (2, 4) see `network.Weights`.

    Returns:
        (b, N, N, 4).
    """
    n, scale = low.shape[1], maps.shape[1] // low.shape[1]

    def in_sub_pixels(values: jax.Array) -> jax.Array:
        return jnp.repeat(jnp.repeat(values, scale, axis=1), scale, axis=2)

    unseen = _beyond(low, *_for_each_map(ranges, low.ndim))
    padded = jnp.pad(low[..., _ML], ((0, 0), (1, 1), (1, 1)), mode="edge")
    around = jnp.stack([padded[:, i : i + n, j : j + n] for i in range(3) for j in range(3)])
    drawn = _beyond(maps[..., _ML], *(in_sub_pixels(f(around, axis=0)) for f in (jnp.min, jnp.max)))
    only_ml = ((0, 0), (0, 0), (0, 0), (_ML, len(MAP_NAMES) - 1 - _ML))
    return in_sub_pixels(unseen) + jnp.pad(drawn[..., None], only_ml)


_ML = MAP_NAMES.index("ml")


def _beyond(values: jax.Array, least: jax.Array, most: jax.Array) -> jax.Array:
    """How far values lie below the least or above the most that they may be."""
    return jnp.abs(values - jnp.clip(values, least, most))


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
