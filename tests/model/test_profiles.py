"""Profiles of the components: against quadrature, closed forms and galpy."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from galfit_sr.analysis import plain_profiles
from galfit_sr.model.bulge import Bulge, projected
from galfit_sr.model.disc import Disc
from galfit_sr.model.halo import Halo

DENSITY = 139.8
"""Critical density [M_sun/kpc^3]."""

RADII = np.geomspace(1e-3, 1e3, 61)
"""kpc."""


@pytest.mark.parametrize("gamma", [*np.linspace(0, 2.4, 13), 0.05, 0.99, 1.01, 1.47, 1.53, 2.33])
def test_bulge_is_adaptive_quadrature(gamma):
    """Target of the design: 1e-4 from R/R_b = 1e-4 to 1e4."""
    s = np.geomspace(1e-4, 1e4, 97)
    density = np.array([plain_profiles.bulge_density_adaptive(x, gamma) for x in s])
    moment = np.array([plain_profiles.bulge_moment_adaptive(x, gamma) for x in s])
    radius = 0.3
    model_density, model_dispersion = projected(jnp.asarray(radius * s), jnp.log10(radius), jnp.asarray(gamma))
    np.testing.assert_allclose(model_density, density, rtol=1e-4)
    np.testing.assert_allclose(model_dispersion, moment / density, rtol=2e-4)
    np.testing.assert_allclose(np.sqrt(model_dispersion), np.sqrt(moment / density), rtol=1e-4)


@pytest.mark.parametrize("gamma", [0.0, 1.0, 2.4])
def test_bulge_rotation_is_the_closed_form(gamma):
    values = {"log10_bulge_mass": 10.3, "log10_bulge_radius": -0.4, "bulge_slope": gamma}
    speed2 = Bulge().circular_velocity_squared(values, jnp.asarray(RADII), DENSITY)
    expected = plain_profiles.bulge_speed2(RADII, 10**10.3, 10**-0.4, gamma)
    np.testing.assert_allclose(speed2, expected, rtol=1e-6)


@pytest.mark.parametrize("radius", [0.01, 0.3, 5.0, 31.0])
def test_disc_is_freeman_s(radius):
    values = {"log10_disc1_mass": 10.3, "log10_disc1_radius": math.log10(radius)}
    disc = Disc("disc1")
    speed2 = disc.circular_velocity_squared(values, jnp.asarray(RADII), DENSITY)
    np.testing.assert_allclose(speed2, plain_profiles.disc_speed2(RADII, 10**10.3, radius), rtol=1e-6)
    near = RADII[100 * radius > RADII]
    expected = 10**10.3 / (2 * math.pi * radius**2) * np.exp(-near / radius)
    np.testing.assert_allclose(disc.face_on_density(values, jnp.asarray(near)), expected, rtol=1e-6)


@pytest.mark.parametrize("gamma", [0.0, 1.0, 2.4])
def test_bulge_s_curvature_is_finite_up_to_the_ends_of_its_series(gamma):
    """The second derivative in the slope: the difference of first ones, whose own error is of second order."""

    def density(slope):
        values = {"log10_bulge_mass": 10.3, "log10_bulge_radius": -0.4, "bulge_slope": slope}
        return Bulge().face_on_density(values, jnp.asarray(0.7))

    step = 1e-4
    inside = jnp.clip(gamma, 2 * step, 2.4 - 2 * step)
    expected = (jax.grad(density)(inside + step) - jax.grad(density)(inside - step)) / (2 * step)
    assert float(jax.grad(jax.grad(density))(jnp.asarray(gamma))) == pytest.approx(float(expected), rel=1e-2)


@pytest.mark.parametrize("concentration", [5.0, 9.7, 15.0])
def test_halo_is_nfw(concentration):
    values = {
        "log10_disc1_mass": math.log10(2e10),
        "log10_disc2_mass": math.log10(3e10),
        "log10_halo_fraction": 1.6,
        "halo_concentration": concentration,
    }
    speed2 = Halo().circular_velocity_squared(values, jnp.asarray(RADII), DENSITY)
    expected = plain_profiles.halo_speed2(RADII, 5e10 * 10**1.6, concentration, DENSITY)
    np.testing.assert_allclose(speed2, expected, rtol=1e-6)


class TestAgainstGalpy:
    """Potentials of galpy in kpc, km/s and M_sun: amplitudes are masses times G."""

    mass = 2.5e10
    radii = np.geomspace(0.02, 60, 25)

    @pytest.fixture(autouse=True)
    def _galpy(self):
        self.potential = pytest.importorskip("galpy.potential", reason="galpy is in the [test] extra")

    def circular(self, potential):
        return np.array([potential.vcirc(r, use_physical=False) for r in self.radii])

    @pytest.mark.parametrize("gamma", [0.0, 0.7, 1.6, 2.4])
    def test_bulge(self, gamma):
        # galpy's amplitude multiplies r^-g (r+a)^(g-4) / (4 pi a^(3-g)), with the mass 4 pi amp a^3/(3-g) in front.
        values = {"log10_bulge_mass": math.log10(self.mass), "log10_bulge_radius": 0.2, "bulge_slope": gamma}
        unit = self.potential.DehnenSphericalPotential(amp=1.0, a=10**0.2, alpha=gamma)
        amplitude = plain_profiles.G * self.mass / unit.mass(1e9, use_physical=False)
        potential = self.potential.DehnenSphericalPotential(amp=amplitude, a=10**0.2, alpha=gamma)
        speed2 = Bulge().circular_velocity_squared(values, jnp.asarray(self.radii), DENSITY)
        np.testing.assert_allclose(np.sqrt(speed2), self.circular(potential), rtol=1e-6)

    @pytest.mark.parametrize("radius", [0.2, 3.0])
    def test_disc(self, radius):
        values = {"log10_disc2_mass": math.log10(self.mass), "log10_disc2_radius": math.log10(radius)}
        central = plain_profiles.G * self.mass / (2 * math.pi * radius**2)
        potential = self.potential.RazorThinExponentialDiskPotential(amp=central, hr=radius)
        speed2 = Disc("disc2").circular_velocity_squared(values, jnp.asarray(self.radii), DENSITY)
        np.testing.assert_allclose(np.sqrt(speed2), self.circular(potential), rtol=1e-6)

    @pytest.mark.parametrize("concentration", [5.0, 12.0])
    def test_halo(self, concentration):
        values = {
            "log10_disc1_mass": math.log10(self.mass),
            "log10_halo_fraction": 1.5,
            "halo_concentration": concentration,
        }
        halo = self.mass * 10**1.5
        scale = np.cbrt(3 * halo / (800 * math.pi * DENSITY)) / concentration
        inside = math.log1p(concentration) - concentration / (1 + concentration)
        potential = self.potential.NFWPotential(amp=plain_profiles.G * halo / inside, a=scale)
        speed2 = Halo().circular_velocity_squared(values, jnp.asarray(self.radii), DENSITY)
        np.testing.assert_allclose(np.sqrt(speed2), self.circular(potential), rtol=1e-6)
