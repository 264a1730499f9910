"""Finite, differentiable, precise in float32, batched, symmetric, and compiled once."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from galaxies import (
    KINEMATIC,
    NASTY,
    PHOTOMETRIC,
    REDSHIFT,
    TYPICAL,
    as_float64,
    looked,
    prior_draws,
    random_weights,
    stacked_maps,
)

from galfit_sr.maps import MAP_NAMES
from galfit_sr.model.galaxy import GalaxyModel
from galfit_sr.model.grid import Canvas
from galfit_sr.model.scene import make_scene, period
from galfit_sr.parameters import default_parameters
from galfit_sr.psf import GaussianPSF

FULL, SMALL = Canvas(80, 0.5), Canvas(24, 0.5)
# Few programs, since compiling them is most of the time: maps of one galaxy, and maps and gradients of a batch.
BATCH = 100
FIDELITIES = ("point", "pixel")
NAMES = default_parameters().names


def scene_for(canvas, fidelity):
    return make_scene(canvas, REDSHIFT, PHOTOMETRIC, KINEMATIC, fidelity=fidelity)


def precisions():
    """Both, as the command line sets them: not by the type of arrays, but for the whole computation."""
    return pytest.mark.parametrize("dtype", ["float32", "float64"])


def computing_in(dtype):
    return jax.enable_x64(dtype == "float64")


def vector_of(values):
    return jnp.asarray([values[n] for n in NAMES])


def typical_and_hard():
    return pytest.mark.parametrize("values", [TYPICAL, NASTY["steep-anywhere"]], ids=["typical", "steep"])


def assert_all_finite(model, vectors, origin_shift=0.0):
    """Maps, and every pixel's gradient: one infinity or NaN among them would survive the sum with random weights."""
    scene = scene_for(model.canvas, model.fidelity)
    scene = scene._replace(origin=scene.origin + origin_shift)
    weights = random_weights(model.canvas, 6)
    batches = [looked(model, jnp.asarray(v), scene, weights) for v in vectors.reshape(-1, BATCH, vectors.shape[1])]
    maps, gradients = (np.concatenate(each) for each in zip(*batches, strict=True))
    for what, names, fine in (("maps", MAP_NAMES, maps), ("gradients", NAMES, np.isfinite(gradients))):
        bad = np.flatnonzero(~fine.all(1))
        if bad.size:
            which = [n for n, f in zip(names, fine[bad[0]], strict=True) if not f]
            first = dict(zip(NAMES, vectors[bad[0]].tolist(), strict=True))
            pytest.fail(f"{bad.size} of {len(vectors)} draws have non-finite {what}; first {which} at {first}")


@precisions()
@pytest.mark.parametrize("fidelity", FIDELITIES)
def test_prior_draws_are_finite(fidelity, dtype):
    with computing_in(dtype):
        assert_all_finite(GalaxyModel(canvas=FULL, fidelity=fidelity), prior_draws(5, 500)[0].astype(dtype))


@pytest.mark.slow
@precisions()
def test_ten_thousand_prior_draws_are_finite(dtype):
    """Pixels are the default, and integrate what `point` evaluates."""
    with computing_in(dtype):
        assert_all_finite(GalaxyModel(canvas=FULL), prior_draws(5, 10_000)[0].astype(dtype))


@precisions()
@pytest.mark.parametrize("fidelity", FIDELITIES)
@pytest.mark.parametrize("offset", [0.0, 0.5], ids=["corner", "centre"])
def test_corners_of_the_prior_are_finite(fidelity, dtype, offset):
    """Extreme values together, with the galaxy's centre exactly on a pixel's corner or centre."""
    parameters = default_parameters()
    ends = np.array([[p.prior.low, p.prior.high] for p in parameters.free], dtype=np.float64)
    pick = np.random.default_rng(7).integers(0, 2, (300, len(NAMES)))
    vectors = np.take_along_axis(ends[None], pick[..., None], axis=2)[..., 0]
    vectors[:, :2] = 0.0
    with computing_in(dtype):
        assert_all_finite(GalaxyModel(canvas=FULL, fidelity=fidelity), vectors.astype(dtype), offset)


@pytest.mark.parametrize("fidelity", FIDELITIES)
def test_float32_agrees_with_float64(fidelity):
    """Target: 1e-4 relative in light, dispersion and mass-to-light ratio, 0.05 km/s in velocity, over the prior box."""
    model = GalaxyModel(canvas=FULL, fidelity=fidelity)
    draws, _ = prior_draws(8, 200, np.float32)

    def all_maps(dtype):
        with computing_in(dtype):
            scene = scene_for(FULL, fidelity)
            results = [np.asarray(stacked_maps(model, jnp.asarray(d.astype(dtype)), scene)) for d in draws]
        assert all(r.dtype == dtype for r in results)
        return results

    worst, where = np.zeros(4), [None] * 4
    for draw, low, high in zip(draws, all_maps("float32"), all_maps("float64"), strict=True):
        errors = np.abs(low - high)
        errors[0] *= math.log(10)
        errors[2:] /= high[2:]
        largest = errors.max((1, 2))
        where = [
            dict(zip(NAMES, draw.tolist(), strict=True)) if a > b else w
            for a, b, w in zip(largest, worst, where, strict=True)
        ]
        worst = np.maximum(worst, largest)
    report = list(zip(MAP_NAMES, worst.tolist(), where, strict=True))
    assert worst[0] < 1e-4, report
    assert worst[1] < 0.05, report
    assert worst[2] < 1e-4, report
    assert worst[3] < 1e-4, report


@typical_and_hard()
@pytest.mark.parametrize("fidelity", FIDELITIES)
def test_gradients_are_finite_differences(fidelity, values):
    """Central differences of fourth order, step 1e-3: truncation 1e-12 times derivatives, rounding 1e-13."""
    model = GalaxyModel(canvas=FULL, fidelity=fidelity)
    scene = scene_for(FULL, fidelity)
    weights = random_weights(FULL, 9)

    def total(vector):
        return jnp.sum(weights * stacked_maps(model, vector, scene))

    # The bulge's series end at a slope of 2.4, and differences need both sides.
    vector = vector_of(values | {"bulge_slope": min(values["bulge_slope"], 2.4 - 2e-3)})
    gradient = looked(model, jnp.tile(vector, (BATCH, 1)), scene, weights)[1][0]
    for i, name in enumerate(NAMES):
        step = jnp.zeros_like(vector).at[i].set(1e-3)
        outer, inner = (total(vector + m * step) - total(vector - m * step) for m in (2, 1))
        expected = (8 * inner - outer) / 12e-3
        # A cusp that crosses a pixel moves fast: what the next order leaves is up to 1e-5 of the gradient's scale.
        scale = float(jnp.abs(gradient).max())
        assert float(gradient[i]) == pytest.approx(float(expected), rel=1e-5, abs=1e-6 * scale), name


@pytest.mark.parametrize("fidelity", FIDELITIES)
def test_batches_are_loops(fidelity):
    model = GalaxyModel(canvas=SMALL, fidelity=fidelity)
    scene = scene_for(SMALL, fidelity)
    draws = jnp.asarray(prior_draws(10, 8)[0])
    batch = jax.jit(jax.vmap(functools.partial(stacked_maps, model), in_axes=(0, None)))(draws, scene)
    loop = jnp.stack([stacked_maps(model, d, scene) for d in draws])
    # The order of sums may differ; S^2 is a difference of terms up to 1e4 times larger.
    np.testing.assert_allclose(batch, loop, rtol=1e-9, atol=1e-6)


@pytest.mark.parametrize("fidelity", FIDELITIES)
def test_another_galaxy_compiles_nothing(fidelity):
    """Other parameters, redshift, origin and PSF, about as broad: arrays of the same shapes for the same program."""
    model = GalaxyModel(canvas=SMALL, fidelity=fidelity)
    first = stacked_maps(model, vector_of(TYPICAL), scene_for(SMALL, fidelity))
    programs = stacked_maps._cache_size()
    scene = make_scene(SMALL, 0.05, GaussianPSF(1.5), GaussianPSF(2.2), fidelity=fidelity, origin=(11.3, 12.9))
    second = stacked_maps(model, vector_of(TYPICAL | {"x0": -0.4, "bulge_slope": 0.2}), scene)
    assert stacked_maps._cache_size() == programs
    assert not np.allclose(first[0], second[0])


class TestSymmetry:
    """What rotating, mirroring and shifting a galaxy does to its maps."""

    @staticmethod
    def maps(fidelity="pixel", **changes):
        model, scene = GalaxyModel(canvas=SMALL, fidelity=fidelity), scene_for(SMALL, fidelity)
        return as_float64(stacked_maps(model, vector_of(TYPICAL | {"x0": 0.0, "y0": 0.0} | changes), scene))

    @staticmethod
    def assert_same(maps, expected):
        # Rounding only, but S^2 and V are differences of sums over thousands of points.
        for a, b in zip(maps, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-6)

    @pytest.mark.parametrize("fidelity", FIDELITIES)
    def test_face_on_is_round_and_still(self, fidelity):
        maps = self.maps(fidelity, inclination=0.0)
        np.testing.assert_allclose(maps[1], 0.0, atol=1e-9)
        for other in (np.rot90, np.transpose, np.flipud):
            self.assert_same(maps, [other(m) for m in maps])
        self.assert_same(maps, self.maps(fidelity, inclination=0.0, position_angle=-1.9))

    @pytest.mark.parametrize("fidelity", FIDELITIES)
    def test_half_a_turn_swaps_the_receding_side(self, fidelity):
        maps = self.maps(fidelity)
        turned = self.maps(fidelity, position_angle=TYPICAL["position_angle"] + math.pi)
        self.assert_same(turned, [maps[0], -maps[1], maps[2], maps[3]])

    def test_a_quarter_turn_turns_the_maps(self):
        # Rows ascend with y: from +x towards +y is the sense of np.rot90(k=-1) on arrays with the origin at the top.
        maps = self.maps()
        turned = self.maps(position_angle=TYPICAL["position_angle"] + math.pi / 2)
        self.assert_same(turned, [np.rot90(m, -1) for m in maps])

    def test_mirrors_at_both_axes(self):
        maps = self.maps(position_angle=0.0)
        self.assert_same(maps, [np.flipud(m) for m in maps])
        mirrored = [np.fliplr(m) for m in maps]
        self.assert_same(maps, [mirrored[0], -mirrored[1], mirrored[2], mirrored[3]])
        assert maps[1][:, -1].min() > 0, "position angle 0 recedes towards +x"

    def test_a_shift_shifts_the_maps(self):
        """To rounding where source points lie in the same places again, to what `pixel` promises by one pixel."""
        scene = scene_for(SMALL, "pixel")
        step, same = float(scene.kpc_per_pixel), period(scene)
        assert same == 3
        maps = self.maps()
        for n in (same, 1):
            shifted = self.maps(x0=n * step, y0=-n * step)
            pairs = [(a[:-n, n:], b[n:, :-n]) for a, b in zip(shifted, maps, strict=True)]
            if n == same:
                self.assert_same(*zip(*pairs, strict=True))
            for (a, b), tolerance in zip(pairs, (0.002, 0.3, 0.3, 0.01), strict=True):
                np.testing.assert_allclose(a, b, rtol=0, atol=tolerance)

    def test_systemic_velocity_shifts_velocities_only(self):
        values = TYPICAL | {"x0": 0.0, "y0": 0.0, "systemic_velocity": 17.0}
        moving = as_float64(jax.jit(GalaxyModel(canvas=SMALL))(values, scene_for(SMALL, "pixel")).maps)
        maps = self.maps()
        self.assert_same(moving, [maps[0], maps[1] + 17.0, maps[2], maps[3]])


def test_profiles_add_up():
    """Light of the components is that of the total; velocities add in quadrature; one number against a formula."""
    radius = jnp.geomspace(0.1, 20, 12)
    scene = scene_for(SMALL, "point")
    profiles = GalaxyModel(canvas=SMALL, fidelity="point").profiles(TYPICAL, radius, scene)
    assert set(profiles) == {"bulge", "disc1", "disc2", "halo", "total"}
    light = sum(profiles[c]["surface_brightness"] for c in ("bulge", "disc1", "disc2"))
    np.testing.assert_allclose(profiles["total"]["surface_brightness"], light, rtol=1e-12)
    speed = jnp.sqrt(sum(profiles[c]["circular_velocity"] ** 2 for c in ("bulge", "disc1", "disc2", "halo")))
    np.testing.assert_allclose(profiles["total"]["circular_velocity"], speed, rtol=1e-12)
    scale = 10 ** TYPICAL["log10_disc2_radius"]
    central = 10 ** TYPICAL["log10_disc2_mass"] / (2 * math.pi * scale**2) / TYPICAL["ml_disc2"]
    np.testing.assert_allclose(profiles["disc2"]["surface_brightness"], central * np.exp(-radius / scale), rtol=1e-6)
