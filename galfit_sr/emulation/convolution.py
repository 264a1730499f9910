"""Convolutions whose gradients are as fast inside of loops as outside of them.

XLA has fast code on CPUs for convolutions whose kernels lie in memory as (height, width, channels in, channels out). A
kernel that lies in another way it turns around first, but only outside of loops; inside, plain nested loops take the
place of the fast code. What JAX has as the derivative of a convolution by its input is one with the channels of the
kernel swapped by name and not in memory, and fits take most of their gradients in loops: there, networks were four
times as slow.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir


def convolve(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Convolution that keeps the number of pixels: `jax.lax.conv_general_dilated` with stride 1 and padding SAME.

    It has derivatives of both modes, of any order, and maps over leading axes of `x`, `kernel` or both. All of them
    multiply with the bits that `jax.default_matmul_precision` asks for at this call.

    Args:
        x: (b, n, n, c).
        kernel: (k, k, c, f), of the same type.

    Returns:
        (b, n, n, f).
    """
    size = kernel.shape[0]
    padding = ((size - 1) // 2, size // 2)
    precision = jax.config.jax_default_matmul_precision  # type: ignore[attr-defined]
    return _convolve.bind(x, kernel, padding=padding, precision=precision)


def _by_xla(x: Any, kernel: Any, *, padding: tuple[int, int], precision: str | None) -> Any:
    numbers = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(
        x, kernel, (1, 1), (padding, padding), dimension_numbers=numbers, precision=precision
    )


def _shape(x: Any, kernel: Any, **options: Any) -> ShapedArray:
    return ShapedArray((*x.shape[:3], kernel.shape[3]), x.dtype)


def _by_input(slope: Any, x: Any, kernel: Any, *, padding: tuple[int, int], precision: str | None) -> Any:
    turned = jnp.flip(kernel, (0, 1)).swapaxes(2, 3)
    return _convolve.bind(slope, turned, padding=padding[::-1], precision=precision)


def _by_kernel(slope: Any, x: Any, kernel: Any, **options: Any) -> Any:
    (found,) = jax.linear_transpose(lambda kernel: _by_xla(x, kernel, **options), kernel.aval)(slope)
    return found


def _mapped(arguments: Any, axes: Any, **options: Any) -> tuple[Any, int]:
    (x, kernel), (along, kernel_along) = arguments, axes
    if kernel_along is not None:
        return jax.vmap(lambda x, kernel: _by_xla(x, kernel, **options), axes)(x, kernel), 0
    x = jnp.moveaxis(x, along, 0)
    together = _convolve.bind(x.reshape(-1, *x.shape[2:]), kernel, **options)
    return together.reshape(*x.shape[:2], *together.shape[1:]), 0


_convolve = Primitive("convolve")
_convolve.def_impl(jax.jit(_by_xla, static_argnames=("padding", "precision")))
_convolve.def_abstract_eval(_shape)
mlir.register_lowering(_convolve, mlir.lower_fun(_by_xla, multiple_results=False))
ad.defbilinear(_convolve, _by_input, _by_kernel)
batching.primitive_batchers[_convolve] = _mapped
