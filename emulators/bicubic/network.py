"""No network: the bicubic upsampling that the others start from."""

from __future__ import annotations

import dataclasses

import jax
from flax import nnx

from galfit_sr.emulation.upsampling import bicubic


@dataclasses.dataclass(frozen=True)
class Bicubic:
    """Keys' cubic convolution; no hyperparameter but the scale."""

    scale: int = 4

    def build(self, rngs: nnx.Rngs) -> nnx.Module:
        """The module."""
        return _Upsampling(self.scale)


class _Upsampling(nnx.Module):
    def __init__(self, scale: int) -> None:
        self.scale = scale

    def __call__(self, maps: jax.Array, context: jax.Array) -> jax.Array:
        """(b, n, n, 4) to (b, s n, s n, 4)."""
        return bicubic(maps, self.scale)
