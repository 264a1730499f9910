"""The error of networks: what is learnt from residuals that are known, and what the shipped bundles say of theirs."""

import dataclasses
from functools import partial
from importlib import import_module
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_network import RECIPE, ranges, silent

from galfit_sr.emulation.calibration import calibration, errors
from galfit_sr.emulation.emulator import Inputs
from galfit_sr.emulation.error_learning import learn_error
from galfit_sr.emulation.examples import as_examples, drawn
from galfit_sr.emulation.measures import distance_from_centre, residuals
from galfit_sr.emulation.network import Weights, unfounded
from galfit_sr.emulation.pairs import galaxies, make_pairs, training_prior
from galfit_sr.emulation.recipe import Recipe
from galfit_sr.emulation.registry import find_emulator
from galfit_sr.emulation.scale_free import CONTEXT, Amplitudes, to_scale_free, without_zero
from galfit_sr.maps import MAP_NAMES
from galfit_sr.psf import IMAGING, SPECTROSCOPY, GaussianPSF

NAMES = ("bicubic", "fsrcnn", "isrcnn", "isrcnn_fast", "isrcnn_joint", "srcnn")


@pytest.fixture(autouse=True)
def _single_precision():
    with jax.enable_x64(False):
        yield


def galaxies_of(recipe, count, first=2**41):
    return drawn(recipe, count, 1, True).examples(first + np.arange(count), "", silent)


@pytest.fixture(scope="module")
def toy():
    """512 draws of 128 galaxies' residuals, with a spread that depends on place, galaxy and map."""
    with jax.enable_x64(False):
        few = galaxies_of(RECIPE, 128)
    some = jax.tree.map(lambda array: np.tile(array, (4,) + (1,) * (array.ndim - 1)), few)
    sizes = (0.002, 0.3, 0.02, 5.0) / (1 + distance_from_centre(some, RECIPE)[..., None])
    slope = some.context[:, CONTEXT.index("bulge_slope"), None, None, None]
    sigma = (sizes * 10 ** (slope - 1)).astype(np.float32)
    residual = (np.random.default_rng(5).normal(size=sigma.shape) * sigma).astype(np.float32)
    return some, sigma, residual


def flat(low):
    """Maps that show what the low pixels do."""
    return low.repeat(4, axis=1).repeat(4, axis=2)


def learnt(toy, seed=0):
    some, _, residual = toy
    added = unfounded(some.low, flat(some.low), ranges(some))
    return Weights({}, ranges(some), learn_error(residual, np.asarray(added), some, seed, silent))


def test_a_known_error_is_found_again(toy):
    weights = learnt(toy)
    some, sigma, _ = (jax.tree.map(lambda array: array[:128], part) for part in toy)
    maps = flat(some.low)
    unclipped = ~np.asarray(unfounded(some.low, maps, weights.ranges)).any(axis=(1, 2, 3))
    off = np.log(errors(weights, some, maps) / sigma)[unclipped]
    # 1536 steps of 4096 pixels: each number of the network is known to a few per cent.
    assert np.sqrt(np.mean(off**2)) < 0.15
    assert np.all(np.abs(np.median(off, axis=(0, 1, 2))) < 0.05)


def test_learning_is_deterministic_and_leaves_out_what_is_not_finite(toy):
    some, _, residual = (jax.tree.map(lambda array: array[:32], part) for part in toy)
    broken = residual.copy()
    broken[:4, :8, :8, 1] = np.nan
    added = np.where(np.isfinite(broken), 0.1, np.nan).astype(np.float32)
    one, again = (learn_error(broken, added, some, 3, silent) for _ in range(2))
    other = learn_error(broken, added, some, 4, silent)
    assert jax.tree.all(jax.tree.map(np.array_equal, one, again))
    assert not jax.tree.all(jax.tree.map(np.array_equal, one, other))
    assert all(np.isfinite(array).all() for array in jax.tree.leaves(one))
    assert learn_error(broken, added, some, 3, silent, features=40)["last"]["kernel"].shape == (40, 64)


def test_what_a_network_does_not_see_counts_as_error(toy):
    some = jax.tree.map(lambda array: array[:2], toy[0])
    weights = learnt(jax.tree.map(lambda array: array[:32], toy))
    low = some.low.copy()
    low[1, 3, 4, 0] = weights.ranges[1, 0] + 0.5
    high = errors(weights, some._replace(low=low), flat(some.low))[1, 12:16, 16:20, 0]
    assert np.all((high >= 0.5) & np.isfinite(high))


def test_ml_that_nothing_at_low_resolution_shows_counts_as_error():
    """Beyond the low pixel and its eight neighbours, above and below; other maps may peak between pixels."""
    rng = np.random.default_rng(2)
    low = rng.random((2, 5, 5, 4)).astype(np.float32)
    maps = rng.uniform(-1, 2, (2, 20, 20, 4)).astype(np.float32)
    found = np.asarray(unfounded(low, maps, np.array([[0.0] * 4, [1.0] * 4], np.float32)))
    assert not found[..., :3].any()
    for g, y, x in np.ndindex(2, 20, 20):
        j, i = y // 4, x // 4
        around = low[g, max(j - 1, 0) : j + 2, max(i - 1, 0) : i + 2, 3]
        value = maps[g, y, x, 3]
        assert found[g, y, x, 3] == max(value - around.max(), around.min() - value, 0)


def test_errors_and_their_gradients_are_finite_over_the_prior():
    emulator = find_emulator("bicubic")
    recipe, prior = emulator.card.recipe, training_prior(emulator.card.recipe.components)
    scene = recipe.low_scene(recipe.redshift[0])
    weights = jax.tree.map(jnp.asarray, emulator.weights)

    def logarithms(unit):
        values = prior.parameters.complete(prior.transform(unit))
        error = emulator.function(weights, Inputs(recipe.low_model(values, scene).maps, values, scene)).error
        return sum(jnp.mean(jnp.log(e)) for e in error), jnp.stack([jnp.min(e) for e in error])

    units = np.random.default_rng(6).random((64, prior.ndim)).astype(np.float32)
    # Corners of the prior too.
    units[:16] = np.clip(np.round(units[:16]), 1e-3, 1 - 1e-3)
    slopes, least = jax.jit(jax.vmap(jax.grad(logarithms, has_aux=True)))(units)
    assert np.isfinite(slopes).all()
    assert np.all(least > 0)


def regions(found):
    """(maps, regions, measures) of the whole map and its centre."""
    return np.array([[list(found["maps"][m][r].values()) for r in ("whole", "centre")] for m in MAP_NAMES])


@pytest.fixture(scope="module")
def unseen():
    with jax.enable_x64(False):
        return galaxies_of(Recipe(draws="prior"), 48)


def off_by(residual, error, examples):
    """How far the numbers of a calibration, as from `regions`, are from 1, less what some galaxies leave open."""

    def judged(rows):
        return regions(calibration(residual[rows], error[rows], jax.tree.map(lambda a: a[rows], examples), Recipe()))

    rows = np.arange(len(residual))
    # A jackknife of eight groups; three standard deviations.
    parts = np.array([judged(rows[rows % 8 != k]) for k in range(8)])
    open_ = np.sqrt(7 / 8 * np.sum((parts - parts.mean(0)) ** 2, axis=0))
    return np.abs(judged(rows) - 1) - 3 * open_


@pytest.mark.parametrize("name", NAMES)
def test_the_errors_of_shipped_networks_are_calibrated(unseen, name):
    module = import_module(f"galfit_sr_emulators.{name}")
    weights = module.load().weights
    residual = residuals(module.NETWORK, weights, unseen)
    off = off_by(residual, errors(weights, unseen, unseen.high + residual), unseen)
    if name == "srcnn":
        # Its residuals are nearly all bias, and a bias that is known to its size has no tails.
        off = off[..., :2]
    assert np.all(off < 0.2)


@pytest.mark.parametrize(
    ("name", "psfs"),
    [
        ("conditioned", (IMAGING, SPECTROSCOPY)),
        ("conditioned", (GaussianPSF(2.5), GaussianPSF(2.5))),
        ("conditioned-thick", (IMAGING, SPECTROSCOPY)),
    ],
)
def test_the_errors_of_conditioned_are_calibrated(name, psfs):
    """In the whole map; at the centre there are residuals of rounding only, and many are 0."""
    emulator = find_emulator(name)
    recipe = dataclasses.replace(emulator.card.recipe, draws="prior", psf_photometry=psfs[0], psf_kinematics=psfs[1])
    pairs = make_pairs(recipe, *galaxies(recipe, 2**41 + np.arange(48), 2**41 + 48))
    seen = SimpleNamespace(psf_photometry=psfs[0], psf_kinematics=psfs[1], redshift=recipe.redshift[0])
    scene = recipe.low_scene(recipe.redshift[0])
    parameters = training_prior(recipe.components).parameters

    def estimate(weights, galaxy):
        theta, low = galaxy
        return emulator.function(weights, Inputs(low, parameters.complete(theta), scene))

    run = jax.jit(lambda weights, some: jax.lax.map(partial(estimate, weights), some))
    maps, sigmas = run(emulator.weights(seen), jax.tree.map(jnp.asarray, (pairs.theta, pairs.low)))
    some = as_examples(recipe, pairs)
    unit = Amplitudes(*(np.asarray(a)[:, None, None] for a in some.unit))
    off = off_by(
        np.asarray(to_scale_free(maps, unit)) - some.high, np.asarray(to_scale_free(sigmas, without_zero(unit))), some
    )
    if name == "conditioned-thick":
        # Those of discs seen edge-on have longer tails than a normal distribution: its middle is a third narrower.
        off = off[..., [0, 2]]
    assert np.all(off[:, 0] < 0.2)
