"""Convolutions of our own: the numbers and derivatives of `jax.lax`, and programs that are fast in loops."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from galfit_sr.devices import full_precision
from galfit_sr.emulation.convolution import convolve

SIZES = pytest.mark.parametrize("size", [1, 2, 3, 4, 5])


def by_jax(x, kernel):
    return jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))


def random(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape))


def loss(convolution):
    # Of the third order in either argument, so that second derivatives are of all kinds.
    return lambda x, kernel: jnp.sum(convolution(x, kernel) ** 3)


def assert_same(found, expected):
    # Sums of a few hundred terms in double precision.
    jax.tree.map(lambda f, e: np.testing.assert_allclose(f, e, rtol=1e-11, atol=1e-10), found, expected)


@SIZES
def test_values_and_derivatives_of_both_modes_are_those_of_jax(size):
    x, kernel = random(2, 7, 7, 3), random(size, size, 3, 4, seed=1)
    slopes = random(*x.shape, seed=2), random(*kernel.shape, seed=3)
    assert_same(convolve(x, kernel), by_jax(x, kernel))
    assert_same(jax.jvp(convolve, (x, kernel), slopes), jax.jvp(by_jax, (x, kernel), slopes))
    assert_same(jax.grad(loss(convolve), (0, 1))(x, kernel), jax.grad(loss(by_jax), (0, 1))(x, kernel))


def test_second_derivatives_are_those_of_differences():
    check_grads(convolve, (random(1, 4, 4, 2), random(3, 3, 2, 2, seed=1)), order=2)


@pytest.mark.parametrize("axes", [(0, None), (2, None), (None, 0), (0, 0), (1, 4)])
def test_maps_over_images_kernels_or_both(axes):
    x, kernel = random(2, 5, 5, 3), random(3, 3, 3, 4, seed=1)
    x, kernel = (
        array if axis is None else jnp.stack([array, 2 * array + 1, array**2], axis)
        for array, axis in zip((x, kernel), axes, strict=True)
    )
    for function in (lambda f: f, lambda f: jax.grad(loss(f), (0, 1))):
        assert_same(jax.vmap(function(convolve), axes)(x, kernel), jax.vmap(function(by_jax), axes)(x, kernel))


def convolutions_in_a_loop(convolution):
    """Those of the program that takes gradients by the input, row by row, where values are to have all bits."""

    def precise(x, kernel):
        with full_precision():
            return convolution(x, kernel)

    rows = jax.jit(lambda x, kernel: jax.lax.map(lambda row: jax.grad(loss(precise))(row, kernel), x))
    text = rows.lower(random(3, 2, 7, 7, 3), random(3, 3, 3, 4, seed=1)).compile().as_text()
    return re.findall(r" convolution\(.*", text)


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="what XLA makes of a convolution differs by platform")
def test_gradients_in_loops_are_convolutions_that_xla_has_fast_code_for():
    def slow(found):
        return [line for line in found if "01io->" not in line]

    if not slow(convolutions_in_a_loop(by_jax)):
        pytest.skip("XLA turns kernels around in loops by itself: convolutions of our own are no longer needed")
    found = convolutions_in_a_loop(convolve)
    assert len(found) == 2
    assert not slow(found)


def test_gradients_keep_the_bits_that_values_are_asked_for():
    found = convolutions_in_a_loop(convolve)
    assert found
    assert all("operand_precision={highest,highest}" in line for line in found)
