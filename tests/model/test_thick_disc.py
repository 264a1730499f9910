"""Thick discs: circular velocity, lines of sight, limits, numerics."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from galaxies import KINEMATIC, PHOTOMETRIC, REDSHIFT, TYPICAL, as_float64, looked, random_weights
from thick_reference import disc_moments, rotation_squared

from galfit_sr.analysis import plain_profiles
from galfit_sr.model.component import Rotation
from galfit_sr.model.disc import Disc
from galfit_sr.model.galaxy import GalaxyModel
from galfit_sr.model.geometry import deproject
from galfit_sr.model.grid import Canvas
from galfit_sr.model.scene import critical_density, make_scene
from galfit_sr.model.thick_disc import ThickDisc
from galfit_sr.parameters import default_parameters
from galfit_sr.priors import Prior

COMPONENTS = ("bulge", "thick_disc1", "thick_disc2", "halo")
PARAMETERS = default_parameters(COMPONENTS)
NAMES = PARAMETERS.names
VALUES = TYPICAL | {"thickness_disc1": 0.3, "thickness_disc2": 0.15}
SMALL = Canvas(24, 0.5)
DRAWS = 120
DENSITY = critical_density(REDSHIFT)
MASS = 2.5e10


def velocity(radius, thickness, scale=1.0):
    values = {
        "log10_disc1_mass": math.log10(MASS),
        "log10_disc1_radius": math.log10(scale),
        "thickness_disc1": jnp.asarray(thickness),
    }
    return np.sqrt(ThickDisc("disc1").circular_velocity_squared(values, jnp.asarray(radius), DENSITY))


class TestCircularVelocity:
    radii = np.array([0.5, 1.0, 2.0, 3.5, 5.0])

    @pytest.fixture
    def potential(self):
        return pytest.importorskip("galpy.potential", reason="galpy is in the [test] extra")

    def of_galpy(self, potential, radii):
        return np.array([potential.vcirc(r, use_physical=False) for r in radii])

    @pytest.mark.filterwarnings("ignore::RuntimeWarning")
    @pytest.mark.parametrize("thickness", [0.05, 0.2, 0.4])
    def test_is_a_sum_of_double_exponential_discs(self, potential, thickness):
        """sech^2(u) = 4 sum (-1)^(n+1) n exp(-2 n u); the alternating sums are averaged again and again."""
        terms = []
        for n in range(1, 15):
            height = thickness / (2 * n)
            unit = plain_profiles.G * MASS / (4 * math.pi * height)
            disc = potential.DoubleExponentialDiskPotential(amp=unit, hr=1.0, hz=height)
            terms.append((-1) ** (n + 1) * 2 * self.of_galpy(disc, self.radii) ** 2)
        sums = np.cumsum(terms, axis=0)
        while len(sums) > 1:
            sums = (sums[1:] + sums[:-1]) / 2
        np.testing.assert_allclose(velocity(self.radii, thickness), np.sqrt(sums[0]), rtol=3e-4)

    @pytest.mark.parametrize("thickness", [0.05, 0.1])
    def test_three_miyamoto_nagai_discs_are_near(self, potential, thickness):
        """Smith et al. (2015): within 3 % for these; 7 % at a thickness of 0.4, which is why they are not used."""
        unit = plain_profiles.G * MASS / (4 * math.pi * thickness)
        three = potential.MN3ExponentialDiskPotential(amp=unit, hr=1.0, hz=thickness, sech=True, posdens=True)
        np.testing.assert_allclose(velocity(self.radii, thickness), self.of_galpy(three, self.radii), rtol=0.03)

    def test_tends_to_the_razor_thin_disc(self):
        values = {"log10_disc1_mass": math.log10(MASS), "log10_disc1_radius": 0.0}
        thin = np.sqrt(Disc("disc1").circular_velocity_squared(values, jnp.asarray(self.radii), DENSITY))
        np.testing.assert_allclose(velocity(self.radii, 0.01), thin, rtol=0.01)
        # To first order the difference is proportional to the thickness.
        extrapolated = 2 * velocity(self.radii, 0.01) - velocity(self.radii, 0.02)
        np.testing.assert_allclose(extrapolated, thin, rtol=3e-4)

    def test_is_a_solid_body_inside_and_a_point_mass_outside(self):
        inner, outer = velocity([1e-5, 1e-4], 0.2), velocity([2e3, 4e3], 0.2)
        assert inner[1] / inner[0] == pytest.approx(10, rel=1e-3)
        np.testing.assert_allclose(outer**2 * [2e3, 4e3], plain_profiles.G * MASS, rtol=1e-3)


@functools.cache
def traced(component):
    """The component's tracer at points along and across the major axis, compiled."""

    @jax.jit
    def run(values, along, across):
        model = GalaxyModel(COMPONENTS, SMALL, "point")
        geometry = deproject(values | {"position_angle": jnp.asarray(0.0)}, along, across, jnp.asarray(1e-9))
        velocity = functools.partial(model.circular_velocity, values, DENSITY)
        return ThickDisc(component).tracer(values, geometry, Rotation(velocity(geometry.disc_radius), velocity))

    return run


@pytest.mark.parametrize("thickness", [0.05, 0.15, 0.4])
@pytest.mark.parametrize("degrees", [5, 45, 70, 80, 85, 88, 90])
def test_lines_of_sight_are_adaptive_quadrature(thickness, degrees):
    """Targets: 0.003 dex, 0.5 km/s, 0.5 km/s, wherever a disc shines: from 0.02 to 8 R_d in elliptic radius."""
    values = VALUES | {"inclination": math.radians(degrees), "thickness_disc2": thickness, "k_disc2": 0.8}
    scale = 10 ** values["log10_disc2_radius"]
    flattening = math.hypot(math.cos(values["inclination"]), thickness * math.sin(values["inclination"]))
    random = np.random.default_rng(round(100 * thickness) + degrees)
    radius, angle = scale * np.geomspace(0.02, 8, 8), random.uniform(0, math.pi / 2, 8)
    along, across = radius * np.cos(angle), radius * np.sin(angle) * flattening
    speed2 = rotation_squared_of_values(thickness)
    exact = np.array([disc_moments(values, "disc2", x, y, speed2) for x, y in zip(along, across, strict=True)]).T
    seen = traced("disc2")(values, jnp.asarray(along), jnp.asarray(across))
    mean, second = exact[1] / exact[0], exact[2] / exact[0]
    np.testing.assert_allclose(np.log10(seen.density), np.log10(exact[0]), atol=0.003)
    np.testing.assert_allclose(seen.velocity, mean, atol=0.5)
    np.testing.assert_allclose(np.sqrt(seen.dispersion_squared), np.sqrt(second - mean**2), atol=0.5)


@functools.cache
def rotation_squared_of_values(thickness):
    return rotation_squared(VALUES | {"thickness_disc2": thickness}, DENSITY)


@functools.cache
def compiled(components, fidelity="point", canvas=SMALL):
    return jax.jit(GalaxyModel(components, canvas, fidelity))


def scene_for(fidelity, redshift=REDSHIFT):
    return make_scene(SMALL, redshift, PHOTOMETRIC, KINEMATIC, fidelity=fidelity)


def maps(values, components=COMPONENTS, fidelity="point"):
    return as_float64(compiled(components, fidelity)(values, scene_for(fidelity)).maps)


@pytest.mark.parametrize("degrees", [10, 35, 59])
@pytest.mark.parametrize("fidelity", ["point", "pixel"])
def test_tends_to_the_razor_thin_disc(degrees, fidelity):
    """Target: 0.5 % at a thickness of 0.01 below 60 degrees."""
    values = VALUES | {"inclination": math.radians(degrees), "thickness_disc1": 0.01, "thickness_disc2": 0.01}
    thick, thin = (maps(values, c, fidelity) for c in (COMPONENTS, ("bulge", "disc1", "disc2", "halo")))
    fastest = np.abs(thin[1]).max()
    np.testing.assert_allclose(10 ** thick[0], 10 ** thin[0], rtol=0.005)
    np.testing.assert_allclose(thick[1], thin[1], atol=0.005 * fastest)
    np.testing.assert_allclose(thick[2:], thin[2:], rtol=0.005)


def test_a_thickness_of_zero_is_the_thinnest():
    thinnest = maps(VALUES | {"thickness_disc1": 0.01, "thickness_disc2": 0.01})
    np.testing.assert_array_equal(maps(VALUES | {"thickness_disc1": 0.0, "thickness_disc2": 0.0}), thinnest)


def test_one_disc_may_be_thick():
    both = maps(VALUES | {"thickness_disc1": 0.01})
    one = maps(VALUES, ("bulge", "disc1", "thick_disc2", "halo"))
    np.testing.assert_allclose(10 ** one[0], 10 ** both[0], rtol=0.005)


@pytest.mark.parametrize("degrees", [60, 90])
def test_mass_is_conserved(degrees):
    values = VALUES | {"inclination": math.radians(degrees)}
    x = np.linspace(-60, 60, 801)
    grid = [jnp.asarray(a.ravel()) for a in np.meshgrid(x, x)]
    density = np.asarray(traced("disc2")(values, *grid).density)
    assert density.sum() * (x[1] - x[0]) ** 2 == pytest.approx(10 ** values["log10_disc2_mass"], rel=2e-3)


@pytest.mark.parametrize(("dtype", "fidelity"), [("float32", "pixel"), ("float64", "point")])
def test_prior_draws_are_finite(dtype, fidelity):
    """Maps, and every pixel's gradient, over the prior and exactly edge-on with the centre on a pixel's."""
    draws = np.array(Prior(PARAMETERS).sample(jax.random.key(5), DRAWS), dtype)
    draws[:20, NAMES.index("inclination")] = math.pi / 2
    draws[10:30, :3] = 0.0
    with jax.enable_x64(dtype == "float64"):
        scene = scene_for(fidelity)
        scene = scene._replace(origin=scene.origin + 0.5)
        model = GalaxyModel(COMPONENTS, SMALL, fidelity)
        finite, gradients = map(np.asarray, looked(model, jnp.asarray(draws), scene, random_weights(SMALL, 6)))
    good = finite.all(axis=1) & np.isfinite(gradients).all(axis=1)
    assert good.all(), dict(zip(NAMES, draws[~good][0].tolist(), strict=True))


@pytest.mark.slow
def test_float32_agrees_with_float64():
    """1e-4 in light, dispersion and mass-to-light ratio, 0.05 km/s in velocity, for galaxies of ordinary speeds."""
    galaxies = [VALUES | {"inclination": i, "thickness_disc2": q} for i in (0.3, 1.2, 1.55) for q in (0.05, 0.3)]

    def all_maps(dtype):
        with jax.enable_x64(dtype == "float64"):
            return [maps({k: jnp.asarray(v, dtype) for k, v in g.items()}) for g in galaxies]

    for low, high in zip(all_maps("float32"), all_maps("float64"), strict=True):
        np.testing.assert_allclose(low[0], high[0], rtol=0, atol=4e-5)
        np.testing.assert_allclose(low[1], high[1], rtol=0, atol=0.05)
        np.testing.assert_allclose(low[2:], high[2:], rtol=1e-4)


@pytest.mark.slow
def test_gradients_are_finite_differences():
    """Central differences of fourth order at 84 degrees; nodes move with parameters, and so do these differences."""
    weights = random_weights(SMALL, 9)

    def total(vector):
        return jnp.sum(weights * jnp.stack(maps(dict(zip(NAMES, vector, strict=True)))))

    vector = jnp.asarray([(VALUES | {"inclination": math.radians(84)})[n] for n in NAMES])
    model = GalaxyModel(COMPONENTS, SMALL, "point")
    gradient = looked(model, jnp.tile(vector, (DRAWS, 1)), scene_for("point"), weights)[1][0]
    scale = float(jnp.abs(gradient).max())
    for i, name in enumerate(NAMES):
        step = jnp.zeros_like(vector).at[i].set(1e-4)
        outer, inner = (total(vector + m * step) - total(vector - m * step) for m in (2, 1))
        assert float(gradient[i]) == pytest.approx(float((8 * inner - outer) / 12e-4), rel=1e-4, abs=1e-6 * scale), name


def test_another_galaxy_compiles_nothing():
    run = compiled(COMPONENTS, "pixel")
    run(VALUES, scene_for("pixel"))
    programs = run._cache_size()
    run(VALUES | {"thickness_disc1": 0.1}, scene_for("pixel", 0.05))
    assert run._cache_size() == programs
