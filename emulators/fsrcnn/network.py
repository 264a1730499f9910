"""FSRCNN: Dong, Loy & Tang 2016, arXiv:1608.00367, with d = 56, s = 12, m = 4."""

from __future__ import annotations

import dataclasses
from typing import Literal

import jax
from flax import nnx

from galfit_sr.emulation.upsampling import PReLU, TransposedConvolution, convolution, images, stacked


@dataclasses.dataclass(frozen=True)
class FSRCNN:
    """Hyperparameters.

    Attributes:
        channels: 1, each map is an image of its own, as published; or 4.
        features: the paper's d, channels that are extracted.
        shrunk: its s, channels that are mapped.
        mappings: its m, mapping layers.
        scale: of the upsampling.
    """

    channels: Literal[1, 4] = 1
    features: int = 56
    shrunk: int = 12
    mappings: int = 4
    scale: int = 4

    def build(self, rngs: nnx.Rngs) -> nnx.Module:
        """The module."""
        return _Module(self, rngs)


class _Module(nnx.Module):
    def __init__(self, network: FSRCNN, rngs: nnx.Rngs) -> None:
        widths = [network.channels, network.features, *[network.shrunk] * (network.mappings + 1), network.features]
        sizes = [5, 1, *[3] * network.mappings, 1]
        layers: list[nnx.Module] = []
        for channels, features, size in zip(widths[:-1], widths[1:], sizes, strict=True):
            layers += [convolution(channels, features, size, rngs), PReLU(features)]
        # The last layer's first weights are the paper's, the others' those of He et al.
        upsampling = TransposedConvolution(network.features, network.channels, 9, network.scale, rngs, spread=0.001)
        self.layers = nnx.Sequential(*layers, upsampling)
        self.channels = network.channels

    def __call__(self, maps: jax.Array, context: jax.Array) -> jax.Array:
        """(b, n, n, 4) to (b, s n, s n, 4)."""
        return stacked(self.layers(images(maps, self.channels)), len(maps))
