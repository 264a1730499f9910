"""Parts that networks are made of: upsampling in three ways, convolutions, PReLU, maps as images of few channels."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from ..devices import full_precision
from .convolution import convolve


@lru_cache
def _bicubic_matrix(size: int, scale: int) -> np.ndarray:
    """(size * scale, size) weights of Keys' cubic convolution (a = -1/2), renormalised at the edges, float64."""
    positions = (np.arange(size * scale) + 0.5) / scale - 0.5
    distance = np.abs(positions[:, None] - np.arange(size)[None, :])
    near = 1.5 * distance**3 - 2.5 * distance**2 + 1
    far = -0.5 * distance**3 + 2.5 * distance**2 - 4 * distance + 2
    weights = np.where(distance < 1, near, np.where(distance < 2, far, 0.0))
    return weights / weights.sum(axis=1, keepdims=True)


def bicubic(maps: jax.Array, scale: int) -> jax.Array:
    """Maps on `scale` times as many pixels along each side (Keys 1981, IEEE Trans. ASSP 29, 1153).

    Two dense matrix products: on a CPU and on an accelerator faster than gathering sixteen neighbours.

    Args:
        maps: (b, n, n, c).
        scale: whole number.

    Returns:
        (b, scale n, scale n, c); pixel (i, j) of the input covers a block of scale x scale of them.
    """
    matrix = jnp.asarray(_bicubic_matrix(maps.shape[1], scale), maps.dtype)
    # A network that adds a residual is to add it to these numbers, with however many bits its own layers multiply.
    with full_precision():
        return jnp.einsum("yi,xj,bijc->byxc", matrix, matrix, maps, optimize=True)


def depth_to_space(features: jax.Array, scale: int) -> jax.Array:
    """Channels to sub-pixels (Shi et al. 2016, arXiv:1609.05158).

    Args:
        features: (b, n, n, scale^2 c); the channels of sub-pixel (p, q) are those from (p scale + q) c on.
        scale: whole number.

    Returns:
        (b, scale n, scale n, c).
    """
    b, n, _, channels = features.shape
    c = channels // scale**2
    split = features.reshape(b, n, n, scale, scale, c)
    return split.transpose(0, 1, 3, 2, 4, 5).reshape(b, scale * n, scale * n, c)


def images(maps: jax.Array, channels: int) -> jax.Array:
    """Maps as images of fewer channels, which all pass through the same weights.

    Args:
        maps: (b, n, n, c).
        channels: per image, a divisor of c.

    Returns:
        (b c / channels, n, n, channels); `stacked` reverses it.
    """
    b, n, _, c = maps.shape
    apart = maps.reshape(b, n, n, c // channels, channels)
    return apart.transpose(0, 3, 1, 2, 4).reshape(-1, n, n, channels)


def stacked(apart: jax.Array, batch: int) -> jax.Array:
    """The reverse of `images`: the images of each of `batch` galaxies as channels of one, (batch, n, n, c)."""
    _, n, _, channels = apart.shape
    split = apart.reshape(batch, -1, n, n, channels)
    return split.transpose(0, 2, 3, 1, 4).reshape(batch, n, n, -1)


def convolution(channels: int, features: int, size: int, rngs: nnx.Rngs) -> nnx.Conv:
    """Convolution of `size` x `size` pixels, (b, n, n, channels) to (b, n, n, features).

    Its weights start as He et al. (2015, arXiv:1502.01852) have them.
    """
    first = nnx.initializers.he_normal()
    return nnx.Conv(channels, features, (size, size), kernel_init=first, conv_general_dilated=_convolved, rngs=rngs)


def _convolved(x: jax.Array, kernel: jax.Array, *options: Any, **more: Any) -> jax.Array:
    """`convolve` as a layer of Flax calls it: what other options say is what `convolve` does, for the layers here."""
    return convolve(x, kernel)


class PReLU(nnx.Module):
    """ReLU with a slope below zero that each channel learns (He et al. 2015, arXiv:1502.01852).

    Args:
        features: channels.
    """

    def __init__(self, features: int) -> None:
        self.slope = nnx.Param(jnp.full(features, 0.25, jnp.float32))

    def __call__(self, x: jax.Array) -> jax.Array:
        """Same shape."""
        slope = self.slope[...].reshape((1,) * (x.ndim - 1) + (-1,))
        return jnp.where(x > 0, x, slope * x)


class TransposedConvolution(nnx.Module):
    """Transposed convolution, `jax.lax.conv_transpose` with padding SAME, computed as a convolution of few pixels.

    Each of the stride^2 sub-pixels sees its own subset of the kernel's elements, so a convolution with smaller kernels
    for stride^2 times as many channels, then `depth_to_space`, gives the same numbers. On CPUs XLA's own is up to twice
    as slow for many images, and its gradient up to ten times.

    Args:
        channels: of the input.
        features: of the output.
        size: of the kernel, in pixels of the output; not below the stride.
        stride: output pixels per input pixel along a side.
        rngs: for the weights.
        spread: standard deviation of the first weights; that of He et al. (2015, arXiv:1502.01852) if not given.
    """

    def __init__(
        self, channels: int, features: int, size: int, stride: int, rngs: nnx.Rngs, spread: float | None = None
    ) -> None:
        first = nnx.initializers.he_normal() if spread is None else nnx.initializers.normal(spread)
        self.kernel = nnx.Param(first(rngs.params(), (size, size, channels, features), jnp.float32))
        self.bias = nnx.Param(jnp.zeros(features, jnp.float32))
        self.stride = stride

    def __call__(self, x: jax.Array) -> jax.Array:
        """(b, n, n, channels) to (b, stride n, stride n, features)."""
        kernel = _by_sub_pixel(self.kernel[...].astype(x.dtype), self.stride)
        return depth_to_space(convolve(x, kernel), self.stride) + self.bias[...].reshape(1, 1, 1, -1)


def _by_sub_pixel(kernel: jax.Array, stride: int) -> jax.Array:
    """Kernel (t, t, c, stride^2 f) of the convolution that equals a transposed one with kernel (k, k, c, f).

    Sub-pixel p of pixel j sees pixel j + d through the element stride d - p + before of the kernel, along each axis.
    """
    size, _, c, f = kernel.shape
    before = (size + stride - 1) // 2
    reach = -(-before // stride)
    first = before - stride * reach - (stride - 1)
    taps = 2 * reach + 1
    edges = (-first, first + taps * stride - size)
    padded = jnp.pad(kernel, (edges, edges, (0, 0), (0, 0)))
    split = padded.reshape(taps, stride, taps, stride, c, f)[:, ::-1, :, ::-1]
    return split.transpose(0, 2, 4, 1, 3, 5).reshape(taps, taps, c, stride**2 * f)
