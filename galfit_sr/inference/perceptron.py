"""Perceptrons of two hidden layers, as arrays: small functions that are learnt while a galaxy is fitted."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import numpy as np

HIDDEN = 64


class Perceptron(NamedTuple):
    """Weights, or those of several along leading axes (...); NumPy arrays outside compiled programs.

    Attributes:
        first, first_bias: (..., inputs, HIDDEN), (..., HIDDEN).
        second, second_bias: (..., HIDDEN, HIDDEN), (..., HIDDEN).
        last, last_bias: (..., HIDDEN, outputs), (..., outputs).
    """

    first: Any
    first_bias: Any
    second: Any
    second_bias: Any
    last: Any
    last_bias: Any


def zeros(several: tuple[int, ...], inputs: int, outputs: int) -> Perceptron:
    """Weights, float32 on the host, with which all outputs are zero and stay zero when they are trained."""
    hidden = np.zeros((*several, HIDDEN), np.float32)
    return Perceptron(
        np.zeros((*several, inputs, HIDDEN), np.float32),
        hidden,
        np.zeros((*several, HIDDEN, HIDDEN), np.float32),
        hidden,
        np.zeros((*several, HIDDEN, outputs), np.float32),
        np.zeros((*several, outputs), np.float32),
    )


def untrained(several: tuple[int, ...], inputs: int, outputs: int, seed: int) -> Perceptron:
    """Weights with which all outputs are zero, but hidden layers (He et al. 2015, arXiv:1502.01852) can be trained."""
    rng = np.random.default_rng(seed)
    first = rng.standard_normal((*several, inputs, HIDDEN)) * np.sqrt(2 / inputs)
    second = rng.standard_normal((*several, HIDDEN, HIDDEN)) * np.sqrt(1 / HIDDEN)
    return zeros(several, inputs, outputs)._replace(first=first.astype(np.float32), second=second.astype(np.float32))


def perceptron(weights: Perceptron, x: jax.Array) -> jax.Array:
    """(outputs,) of x (inputs,), by the weights of one."""
    hidden = jax.nn.gelu(x @ weights.first + weights.first_bias)
    hidden = jax.nn.gelu(hidden @ weights.second + weights.second_bias)
    return hidden @ weights.last + weights.last_bias
