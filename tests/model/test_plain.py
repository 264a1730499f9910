"""The independent reference itself: against closed forms, definitions, and finer versions of itself."""

import functools
import math

import numpy as np
import pytest
from scipy.integrate import quad

from galfit_sr.analysis import plain, plain_profiles
from galfit_sr.model.grid import Canvas
from galfit_sr.psf import DoubleGaussianPSF, GaussianPSF, ImagePSF, MoffatPSF

SLOPES = (0.0, 0.3, 1.0, 1.5, 2.0, 2.2, 2.4)

GALAXY = {
    "x0": 0.04,
    "y0": 0.07,
    "position_angle": 0.4,
    "inclination": math.pi / 3,
    "log10_bulge_mass": 10.5,
    "log10_bulge_radius": -1.0,
    "bulge_slope": 2.4,
    "log10_disc1_mass": 10.0,
    "log10_disc1_radius": math.log10(0.11),
    "log10_disc2_mass": 10.7,
    "log10_disc2_radius": 0.5,
    "log10_halo_fraction": 1.7,
    "halo_concentration": 10.0,
    "ml_bulge": 2.0,
    "ml_disc1": 1.0,
    "ml_disc2": 3.0,
    "k_disc1": 0.9,
    "k_disc2": 0.8,
}
KPC_PER_PIXEL, CRITICAL_DENSITY = 0.3, 139.8


def hernquist(s):
    """Sigma R_b^2 / M and Sigma sigma^2 R_b^3 / (G M^2) for gamma = 1 (Hernquist 1990, ApJ 356, 359, eqs 32 and 41)."""
    x = math.acosh(1 / s) / math.sqrt(1 - s**2) if s < 1 else math.acos(1 / s) / math.sqrt(s**2 - 1)
    density = ((2 + s**2) * x - 3) / (2 * math.pi * (1 - s**2) ** 2)
    terms = -3 * s**2 * x * (8 * s**6 - 28 * s**4 + 35 * s**2 - 20) - 24 * s**6 + 68 * s**4 - 65 * s**2 + 6
    return density, (terms / (2 * (1 - s**2) ** 3) - 6 * math.pi * s) / (12 * math.pi)


# Beyond s = 10 and near s = 1 the closed form cancels; at s = 10 its terms are 1e6 times the sum: 1e-16 * 1e6 = 1e-10.
@pytest.mark.parametrize("s", [1e-4, 1e-3, 0.01, 0.1, 0.5, 0.9, 1.1, 2.0, 5.0, 10.0])
def test_adaptive_quadrature_is_hernquist_at_unit_slope(s):
    density, moment = hernquist(s)
    assert plain_profiles.bulge_density_adaptive(s, 1.0) == pytest.approx(density, rel=1e-9)
    assert plain_profiles.bulge_moment_adaptive(s, 1.0) == pytest.approx(moment, rel=1e-7)


@pytest.mark.parametrize("gamma", [0.0, 1.7, 2.4])
@pytest.mark.parametrize("s", [0.01, 1.0, 30.0])
def test_moment_is_the_projected_jeans_equation(s, gamma):
    """The single integral of the design against its definition: 2 Int rho sigma_r^2 r dr / sqrt(r^2 - s^2)."""

    def density(r):
        return (3 - gamma) / (4 * math.pi) * r**-gamma * (1 + r) ** (gamma - 4)

    def pressure(r):
        return quad(lambda w: density(math.exp(w)) * enclosed(math.exp(w)) / math.exp(w), math.log(r), 40, limit=200)[0]

    def enclosed(r):
        return (r / (1 + r)) ** (3 - gamma)

    def along_sight(w):
        z = math.exp(w)
        return 2 * z * pressure(math.hypot(s, z))

    expected = quad(along_sight, math.log(s) - 15, max(0.0, math.log(s)) + 9, limit=200, epsabs=0, epsrel=1e-8)[0]
    assert plain_profiles.bulge_moment_adaptive(s, gamma) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("gamma", SLOPES)
def test_fixed_quadrature_is_the_adaptive_one(gamma):
    """Trapezoidal error 1e-15 from the strip of analyticity, times growth towards its edge for the moment: 1e-10."""
    s = np.geomspace(1e-4, 1e4, 17)
    density = [plain_profiles.bulge_density_adaptive(x, gamma) for x in s]
    moment = [plain_profiles.bulge_moment_adaptive(x, gamma) for x in s]
    np.testing.assert_allclose(plain_profiles.bulge_density(s, gamma), density, rtol=1e-10)
    np.testing.assert_allclose(plain_profiles.bulge_moment(s, gamma), moment, rtol=1e-10)


def test_splines_change_nothing():
    """Planes of a map against the profiles evaluated at every pixel."""
    dx, dy = np.meshgrid(np.linspace(-20, 20, 31), np.linspace(-20, 20, 30))
    with_splines = plain_profiles.planes_at(GALAXY, dx, dy, CRITICAL_DENSITY)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plain_profiles, "_splined", lambda profile, x: profile(x))
        without = plain_profiles.planes_at(GALAXY, dx, dy, CRITICAL_DENSITY)
    # Cubic splines with step h in ln r: h^4/384 times the fourth derivative, below 10 for these profiles.
    for a, b in zip(with_splines, without, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-7)


@pytest.mark.parametrize("gamma", [0.0, 1.0, 2.0, 2.4])
def test_graded_pixels_are_exact_integrals_of_a_bulge(gamma):
    """The pixel on the cusp, in polar coordinates: Int_0^(pi/4) 8 F(h / cos t) dt with F = Int_0^R f R dR."""
    values = {k: v for k, v in GALAXY.items() if "disc" not in k} | {"bulge_slope": gamma, "x0": 0.0, "y0": 0.0}
    radius, half = 10 ** values["log10_bulge_radius"], KPC_PER_PIXEL / 2
    # Below ln s = -120 the moment's integrand is exp((5 - 2 gamma) ln s): 4e-11 of the whole at gamma = 2.4.
    low = -120.0

    def cumulative(profile, s):
        pieces = zip([low, -40.0, -5.0], [-40.0, -5.0, math.log(s)], strict=True)
        return sum(quad(lambda w: profile(math.exp(w), gamma) * math.exp(2 * w), a, b, limit=200)[0] for a, b in pieces)

    def scalar(profile):
        return lambda s, slope: float(profile(np.array([s]), slope)[0])

    def over_pixel(profile):
        inner = np.linspace(half / radius, half * math.sqrt(2) / radius, 40)
        table = np.polynomial.Chebyshev.fit(inner, [cumulative(scalar(profile), s) for s in inner], 20)
        integral = quad(lambda t: 8 * table(half / radius / math.cos(t)), 0, math.pi / 4)[0]
        return integral * radius**2 / KPC_PER_PIXEL**2

    mass = 10 ** values["log10_bulge_mass"]
    nodes, share, _ = plain._graded_rule(np.arange(-2, 3) * KPC_PER_PIXEL, np.array([2]))
    weights = share.sum(0)
    planes = plain_profiles.planes_at(values, *np.meshgrid(nodes, nodes), CRITICAL_DENSITY)
    density = over_pixel(plain_profiles.bulge_density) * mass / radius**2
    moment = over_pixel(plain_profiles.bulge_moment) * plain_profiles.G * mass**2 / radius**3
    assert weights @ planes.mass @ weights == pytest.approx(density, rel=1e-5)
    assert weights @ planes.light_v2 @ weights * values["ml_bulge"] == pytest.approx(moment, rel=2e-5)


def test_graded_nodes_keep_their_centre_of_gravity():
    """A cusp inside a fine pixel is seen where it is, not at the fine pixel's centre."""
    centres = np.arange(-4, 5) * 0.1 + 0.013
    nodes, share, around = plain._graded_rule(centres, np.array([3, 4, 5]))
    np.testing.assert_allclose(centres[around] @ share, nodes * share.sum(0), rtol=1e-9, atol=1e-12)
    assert share.sum() == pytest.approx(3, rel=1e-12)


def test_brute_force_alone_converges_only_without_a_cusp(monkeypatch):
    """Why graded nodes replace the fine pixels at the centre: at gamma = 1, 25 and 75 parts agree, at 2.4 not."""

    @functools.cache
    def dispersion(gamma, parts, near):
        monkeypatch.setattr(plain, "_NEAR", near)
        values = GALAXY | {"bulge_slope": gamma}
        psf = GaussianPSF(2.0)
        return plain.plain_maps(values, Canvas(8, 0.5), 0.03, psf, psf, "pixel", parts).dispersion

    # Targets are 0.3 km/s; 0.1 is the share left for the yardstick.
    assert np.abs(dispersion(1.0, 25, 0.0) - dispersion(1.0, 25, 2.5)).max() < 0.1
    assert np.abs(dispersion(1.0, 75, 0.0) - dispersion(1.0, 25, 2.5)).max() < 0.02
    assert np.abs(dispersion(2.4, 25, 4.0) - dispersion(2.4, 25, 2.5)).max() < 0.02
    assert np.abs(dispersion(2.4, 35, 2.5) - dispersion(2.4, 25, 2.5)).max() < 0.02
    assert np.abs(dispersion(2.4, 75, 0.0) - dispersion(2.4, 25, 2.5)).max() > 100


@pytest.mark.parametrize("psf", [GaussianPSF(2.5), DoubleGaussianPSF(1.5, 3.0, 0.3)])
def test_separable_and_general_instruments_agree(psf):
    """Fine pixels through a general two-dimensional convolution, and through two matrices."""
    kernel = plain.make_kernel(psf, Canvas(8, 0.5), 5)
    pad = math.ceil(kernel.shape[0] / 10)
    plane = np.random.default_rng(1).random(((8 + 2 * pad) * 5,) * 2)
    half = kernel.shape[0] // 2
    padded = np.pad(plane, half)
    windows = np.lib.stride_tricks.sliding_window_view(padded, kernel.shape)
    row, column = pad * 5 + 10, pad * 5 + 15
    block = windows[row : row + 5, column : column + 5]
    expected = np.einsum("ijkl,kl->", block, kernel[::-1, ::-1]) / 25
    assert plain.instrument(kernel, pad, 5)(plane)[2, 3] == pytest.approx(expected, rel=1e-10)


def test_mass_on_a_large_canvas_is_the_galaxy_s_mass():
    """A compact galaxy: what lies beyond 60 R_b of a gamma = 1 bulge in projection is below 2/60 of its mass."""
    values = {k: v for k, v in GALAXY.items() if "disc2" not in k} | {"bulge_slope": 1.0}
    planes = plain.plain_planes(values, 120, KPC_PER_PIXEL, CRITICAL_DENSITY, fidelity="pixel", oversample=7)
    bulge, disc = 10 ** values["log10_bulge_mass"], 10 ** values["log10_disc1_mass"]
    # Hernquist (1990), eq. 38 has projected mass M s^2 (X - 1)/(1 - s^2), which leaves pi/(2 s) of M outside of s.
    outside = math.pi / 2 / (60 * KPC_PER_PIXEL / 0.1)
    total = planes.mass.sum() * (KPC_PER_PIXEL / 7) ** 2
    assert bulge * (1 - outside) + disc < total < bulge + disc


@pytest.mark.parametrize(
    "psf",
    [
        GaussianPSF(2.5),
        DoubleGaussianPSF(1.5, 4.0, 0.3),
        MoffatPSF(2.0, 3.0),
        ImagePSF(((0.0, 1, 0), (2, 3, 1), (0, 0, 1))),
    ],
)
def test_a_point_source_shows_the_kernel(psf):
    kernel = plain.make_kernel(psf, Canvas(20, 0.5))
    half = kernel.shape[0] // 2
    plane = np.zeros((4 * half + 1,) * 2)
    plane[2 * half, 2 * half] = 1.0
    # A point source shows the kernel itself, not its mirror image.
    np.testing.assert_allclose(plain.instrument(kernel, half)(plane), kernel, rtol=1e-9, atol=1e-15)
    assert kernel.sum() == pytest.approx(1, rel=1e-12)
