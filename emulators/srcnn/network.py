"""SRCNN: Dong et al. 2014, arXiv:1501.00092, with 9-5-5 pixels and 64-32 channels."""

from __future__ import annotations

import dataclasses
from typing import Literal

import jax
from flax import nnx

from galfit_sr.emulation.upsampling import bicubic, convolution, images, stacked


@dataclasses.dataclass(frozen=True)
class SRCNN:
    """Hyperparameters.

    Attributes:
        channels: 1, each map is an image of its own, as published; or 4.
        features: of the two hidden layers.
        sizes: of the three kernels.
        scale: of the upsampling.
    """

    channels: Literal[1, 4] = 1
    features: tuple[int, int] = (64, 32)
    sizes: tuple[int, int, int] = (9, 5, 5)
    scale: int = 4

    def build(self, rngs: nnx.Rngs) -> nnx.Module:
        """The module."""
        return _Module(self, rngs)


class _Module(nnx.Module):
    def __init__(self, network: SRCNN, rngs: nnx.Rngs) -> None:
        first, second, third = network.sizes
        patches, mapped = network.features
        self.layers = nnx.Sequential(
            convolution(network.channels, patches, first, rngs),
            jax.nn.relu,
            convolution(patches, mapped, second, rngs),
            jax.nn.relu,
            convolution(mapped, network.channels, third, rngs),
        )
        self.channels, self.scale = network.channels, network.scale

    def __call__(self, maps: jax.Array, context: jax.Array) -> jax.Array:
        """(b, n, n, 4) to (b, s n, s n, 4)."""
        return stacked(self.layers(images(bicubic(maps, self.scale), self.channels)), len(maps))
