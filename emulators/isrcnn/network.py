"""iSRCNN: FSRCNN (Dong et al. 2016, arXiv:1608.00367) with a skip connection, two strides and a bicubic residual."""

from __future__ import annotations

import dataclasses
import math
from typing import Literal

import jax
from flax import nnx

from galfit_sr.emulation.upsampling import PReLU, TransposedConvolution, bicubic, convolution, images, stacked


@dataclasses.dataclass(frozen=True)
class ISRCNN:
    """Hyperparameters.

    Attributes:
        channels: 1, each map is an image of its own, as published; or 4.
        features: n0, channels that are extracted.
        shrunk: ni, channels that are mapped.
        mappings: m, mapping layers.
        upsampling: strides of the transposed convolutions.
    """

    channels: Literal[1, 4] = 1
    features: int = 60
    shrunk: int = 18
    mappings: int = 8
    upsampling: tuple[int, ...] = (2, 2)

    def build(self, rngs: nnx.Rngs) -> nnx.Module:
        """The module."""
        return _Module(self, rngs)


class _Module(nnx.Module):
    def __init__(self, network: ISRCNN, rngs: nnx.Rngs) -> None:
        def layer(channels: int, features: int, size: int) -> list[nnx.Module]:
            return [convolution(channels, features, size, rngs), PReLU(features)]

        features, shrunk = network.features, network.shrunk
        mapping = [part for _ in range(network.mappings) for part in layer(shrunk, shrunk, 3)]
        self.extraction = nnx.Sequential(*layer(network.channels, features, 5))
        self.mapping = nnx.Sequential(*layer(features, shrunk, 1), *mapping, *layer(shrunk, features, 1))
        strides = network.upsampling
        upsampling: list[nnx.Module] = []
        for stride in strides[:-1]:
            upsampling += [TransposedConvolution(features, shrunk, 9, stride, rngs), PReLU(shrunk)]
            features = shrunk
        # The residual is small at first, as FSRCNN's last layer is, so that training begins at bicubic upsampling.
        upsampling.append(TransposedConvolution(features, network.channels, 9, strides[-1], rngs, spread=0.001))
        self.upsampling = nnx.Sequential(*upsampling)
        self.channels, self.scale = network.channels, math.prod(network.upsampling)

    def __call__(self, maps: jax.Array, context: jax.Array) -> jax.Array:
        """(b, n, n, 4) to (b, s n, s n, 4)."""
        features = self.extraction(images(maps, self.channels))
        residual = self.upsampling(self.mapping(features) + features)
        return bicubic(maps, self.scale) + stacked(residual, len(maps))
