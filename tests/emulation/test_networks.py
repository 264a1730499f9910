"""The networks that come with the package, and the parts they are made of."""

import dataclasses
from functools import partial
from importlib import import_module

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from galfit_sr.emulation.network import blank, structure
from galfit_sr.emulation.scale_free import CONTEXT
from galfit_sr.emulation.upsampling import PReLU, TransposedConvolution, bicubic, depth_to_space, images, stacked

NAMES = ("bicubic", "fsrcnn", "isrcnn", "isrcnn_fast", "isrcnn_joint", "srcnn")
PUBLISHED = {name: import_module(f"galfit_sr_emulators.{name}").NETWORK for name in NAMES}
SMALL = {
    "bicubic": {},
    "fsrcnn": {"features": 6, "shrunk": 4, "mappings": 2},
    "isrcnn": {"features": 6, "shrunk": 4, "mappings": 2},
    "isrcnn_fast": {"features": 6, "shrunk": 4, "mappings": 2},
    "isrcnn_joint": {"features": 6, "shrunk": 4, "mappings": 2},
    "srcnn": {"features": (6, 4)},
}
CASES = [pytest.param(dataclasses.replace(PUBLISHED[name], **few), id=name) for name, few in SMALL.items()]


@pytest.fixture(autouse=True)
def _single_precision():
    with jax.enable_x64(False):
        yield


def weights(network):
    return nnx.to_pure_dict(nnx.state(network.build(nnx.Rngs(0)), nnx.Param))


def apply(network, weights, maps):
    context = jnp.zeros((len(maps), len(CONTEXT)), maps.dtype)
    return nnx.merge(structure(network), nnx.State(weights))(maps, context)


def random_maps(count):
    return jnp.asarray(np.random.default_rng(1).random((count, 20, 20, 4)), jnp.float32)


def count_weights(network):
    return sum(array.size for array in jax.tree.leaves(blank(network)))


@pytest.mark.parametrize("network", CASES)
def test_a_network_gives_finite_maps_and_gradients(network):
    @jax.jit
    def run(held, maps):
        slopes = jax.grad(lambda h, m: jnp.sum(apply(network, h, m) ** 2), (0, 1))(held, maps)
        return apply(network, held, maps), slopes

    held, maps = weights(network), random_maps(2)
    # Constant maps, as a galaxy beyond the ranges gives them, have their own kinks.
    for some in (jnp.zeros_like(maps), jnp.ones_like(maps), maps):
        made, slopes = run(held, some)
        assert made.shape == (2, 80, 80, 4)
        assert all(np.isfinite(array).all() for array in jax.tree.leaves((made, slopes)))
    assert np.any(slopes[1] != 0)


@pytest.mark.parametrize("network", CASES)
def test_a_galaxy_does_not_depend_on_its_batch(network):
    held, maps = weights(network), random_maps(3)
    run = jax.jit(partial(apply, network))
    together = run(held, maps)
    alone = jnp.concatenate([run(held, one[None]) for one in maps])
    np.testing.assert_allclose(together, alone, rtol=2e-5, atol=2e-5)


def test_a_network_is_compiled_once():
    network = dataclasses.replace(PUBLISHED["isrcnn"], **SMALL["isrcnn"])
    traced = []

    @jax.jit
    def run(held, maps):
        traced.append(1)
        return apply(network, held, maps)

    for seed in (0, 1):
        run(nnx.to_pure_dict(nnx.state(network.build(nnx.Rngs(seed)), nnx.Param)), random_maps(1))
    assert traced == [1]


@pytest.mark.parametrize(
    ("name", "published"), [("isrcnn", 120_000), ("fsrcnn", 12_464), ("srcnn", 57_184), ("bicubic", 0)]
)
def test_as_many_weights_as_published(name, published):
    # FSRCNN and SRCNN are printed without biases, the former also without some of the PReLU's slopes.
    assert count_weights(PUBLISHED[name]) == pytest.approx(published, rel=0.03)


def test_every_mapping_layer_is_there():
    deeper = dataclasses.replace(PUBLISHED["isrcnn"], mappings=9)
    # 3x3x18x18 weights, 18 biases, 18 slopes.
    assert count_weights(deeper) - count_weights(PUBLISHED["isrcnn"]) == 9 * 18**2 + 36


def test_training_of_isrcnn_begins_at_bicubic_upsampling():
    network, maps = PUBLISHED["isrcnn"], random_maps(1)
    residual = jax.jit(partial(apply, network))(weights(network), maps) - bicubic(maps, 4)
    assert 0 < np.std(residual) < 0.05


def test_maps_pass_through_the_same_weights_one_by_one():
    network, maps = dataclasses.replace(PUBLISHED["isrcnn"], **SMALL["isrcnn"]), random_maps(1)
    held = weights(network)
    turned = apply(network, held, jnp.roll(maps, 1, axis=-1))
    np.testing.assert_allclose(turned, jnp.roll(apply(network, held, maps), 1, axis=-1), rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize(("size", "stride"), [(9, 2), (9, 4), (5, 3), (4, 2), (3, 3)])
def test_a_transposed_convolution_is_a_plain_one(size, stride):
    with jax.enable_x64(True):
        layer = TransposedConvolution(3, 2, size, stride, nnx.Rngs(0))
        maps, wanted = (np.random.default_rng(2).normal(size=s) for s in ((2, 7, 7, 3), (2, 7 * stride, 7 * stride, 2)))
        kernel = np.asarray(layer.kernel[...], np.float64)

        def transposed(kernel, maps):
            made = jax.lax.conv_transpose(maps, kernel, (stride, stride), "SAME")
            return jnp.sum((made - wanted) ** 2), made

        def ours(kernel, maps):
            state = nnx.State({"kernel": kernel, "bias": np.zeros(2)})
            made = nnx.merge(nnx.graphdef(layer), state)(maps)
            return jnp.sum((made - wanted) ** 2), made

        one, other = (jax.jit(jax.grad(f, (0, 1), has_aux=True))(kernel, maps) for f in (ours, transposed))
        for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10)


def test_prelu_has_a_slope_per_channel():
    layer = PReLU(2)
    layer.slope[...] = jnp.array([0.5, 0.0])
    np.testing.assert_array_equal(layer(jnp.array([[-2.0, -2.0], [3.0, 3.0]])), [[-1.0, 0.0], [3.0, 3.0]])


def test_images_and_stacked_reverse_each_other():
    maps = random_maps(3)
    for channels in (1, 2, 4):
        apart = images(maps, channels)
        assert apart.shape == (3 * 4 // channels, 20, 20, channels)
        np.testing.assert_array_equal(apart[0], maps[0, ..., :channels])
        np.testing.assert_array_equal(stacked(apart, 3), maps)


def test_depth_to_space_puts_channels_side_by_side():
    features = jnp.arange(8.0).reshape(1, 1, 1, 8)
    np.testing.assert_array_equal(depth_to_space(features, 2)[0, ..., 0], [[0, 2], [4, 6]])
