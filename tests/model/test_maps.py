"""Maps of the model against the plain implementation, and against the code that this project replaces."""

import functools
import math
from pathlib import Path

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
    draws_with_resolved_bulges,
    prior_draws,
)

from galfit_sr.analysis.plain import instrument, make_kernel, plain_maps
from galfit_sr.errors import InputError
from galfit_sr.maps import MAP_NAMES
from galfit_sr.model.galaxy import GalaxyModel
from galfit_sr.model.grid import Canvas
from galfit_sr.model.scene import make_scene
from galfit_sr.psf import DoubleGaussianPSF, GaussianPSF, ImagePSF, MoffatPSF

ROOT = Path(__file__).parents[2]
FULL = Canvas(80, 0.5)
SMALL = Canvas(40, 0.5)

POINT_TOLERANCES = (1e-5, 1e-3, 1e-3, 1e-4)
"""Dex, km/s, km/s, M_sun/L_sun: what 2e-5 relative in profiles makes of values up to a few hundred."""

PIXEL_TOLERANCES = (0.002, 0.3, 0.3)
"""Dex, km/s, km/s: the design's targets."""


@functools.cache
def compiled(components, canvas, fidelity):
    return jax.jit(GalaxyModel(components, canvas, fidelity))


def model_maps(values, canvas, psfs=(None, None), fidelity="point", components=("bulge", "disc1", "disc2", "halo")):
    scene = make_scene(canvas, REDSHIFT, *psfs, fidelity=fidelity)
    return as_float64(compiled(components, canvas, fidelity)(values, scene).maps)


def assert_near(maps, expected, tolerances):
    """Compares maps and names the worst pixel of each."""
    problems = []
    for name, a, b, tolerance in zip(MAP_NAMES, maps, as_float64(expected), tolerances, strict=False):
        assert a.shape == b.shape
        difference = np.abs(a - b)
        assert np.all(np.isfinite(difference)), name
        row, column = np.unravel_index(difference.argmax(), difference.shape)
        if difference.max() > tolerance:
            problems.append(f"{name}: {difference.max():.2e} > {tolerance} at column {column}, row {row}")
    assert not problems, "; ".join(problems)


@pytest.mark.parametrize("psfs", [(None, None), (PHOTOMETRIC, KINEMATIC)], ids=["no-psf", "psf"])
@pytest.mark.parametrize("name", ["typical", *(n for n in NASTY if n != "steep-at-centre")])
def test_point_maps(name, psfs):
    """All but the galaxy whose cusp is exactly on a pixel's centre: it has no finite value there."""
    values = {"typical": TYPICAL, **NASTY}[name]
    expected = plain_maps(values, SMALL, REDSHIFT, *psfs)
    # A bulge of 1e12 M_sun in 0.1 kpc moves at 1e4 km/s.
    tolerances = POINT_TOLERANCES if name != "steep-massive" else (1e-5, 0.1, 0.1, 1e-4)
    assert_near(model_maps(values, SMALL, psfs), expected, tolerances)


def test_point_maps_of_prior_draws():
    """Relative 1e-4 in light and dispersion, and 1e-4 of the fastest motion in velocity, over the whole prior box."""
    draws, names = prior_draws(11, 60)
    for draw in draws:
        values = dict(zip(names, map(float, draw), strict=True))
        maps = model_maps(values, SMALL, (PHOTOMETRIC, KINEMATIC))
        expected = as_float64(plain_maps(values, SMALL, REDSHIFT, PHOTOMETRIC, KINEMATIC))
        speed = np.hypot(expected[1], expected[2]).max()
        assert_near(maps, expected, (4.3e-5, 1e-4 * speed, 1e-4 * speed, 1e-4 * expected[3].max()))


@pytest.mark.parametrize("components", [("bulge",), ("disc1",), ("disc2", "halo"), ("bulge", "disc1", "halo")])
def test_any_subset_of_components(components):
    parts = [c for c in ("bulge", "disc1", "disc2", "halo") if c not in components]
    values = {k: v for k, v in TYPICAL.items() if not any(c in k for c in parts)}
    expected = plain_maps(values, SMALL, REDSHIFT, PHOTOMETRIC, KINEMATIC)
    maps = model_maps(values, SMALL, (PHOTOMETRIC, KINEMATIC), components=components)
    # A bulge alone does not move: velocity 0 exactly.
    assert_near(maps, expected, POINT_TOLERANCES)


@pytest.mark.parametrize(
    ("psf", "tolerances"),
    [
        (GaussianPSF(1.6), POINT_TOLERANCES),
        (DoubleGaussianPSF(1.4, 3.5, 0.3), POINT_TOLERANCES),
        # Ten Gaussians, without the profile's farthest wings, stand for a Moffat profile.
        (MoffatPSF(2.0, 3.5), (0.002, 0.3, 0.3, 0.01)),
        (ImagePSF(((0, 1, 0.5), (2, 6, 1), (0, 0.2, 1))), POINT_TOLERANCES),
    ],
    ids=["gaussian", "double", "moffat", "image"],
)
def test_point_spread_functions_are_two_dimensional_convolutions(psf, tolerances):
    """Every kind, for light and kinematics; light from beyond the canvas included."""
    expected = plain_maps(TYPICAL, SMALL, REDSHIFT, psf, psf)
    assert_near(model_maps(TYPICAL, SMALL, (psf, psf)), expected, tolerances)


def test_light_and_kinematics_have_their_own_psf():
    maps = model_maps(TYPICAL, SMALL, (GaussianPSF(1.3), GaussianPSF(3.0)))
    both_sharp = model_maps(TYPICAL, SMALL, (GaussianPSF(1.3), GaussianPSF(1.3)))
    both_wide = model_maps(TYPICAL, SMALL, (GaussianPSF(3.0), GaussianPSF(3.0)))
    for i, same in enumerate((both_sharp, both_wide, both_wide, both_sharp)):
        np.testing.assert_allclose(maps[i], same[i], rtol=1e-10)


class TestReplacedCode:
    """Eight galaxies from the CPU code that this project replaces (`point`; its bulges give no light)."""

    @pytest.fixture
    def reference(self):
        for folder in (ROOT / "shared", ROOT.parent / "shared"):
            path = folder / "reference" / "bang_disc_maps.npz"
            if path.exists():
                with np.load(path) as file:
                    return dict(file)
        pytest.skip("shared/reference/bang_disc_maps.npz is not beside this repository")

    @pytest.mark.parametrize("galaxy", range(8))
    @pytest.mark.parametrize("blurred", [False, True], ids=["no_psf", "psf"])
    def test_galaxy(self, reference, galaxy, blurred):
        kpc = float(reference["pixel_kpc"])
        theta = map(float, reference["theta"][galaxy])
        values = dict(zip(map(str, reference["names"]), theta, strict=True)) | {"ml_bulge": 1e30}
        psfs = (None, None)
        if blurred:
            psfs = [gaussian_image(float(reference[f"psf_sigma_{k}_kpc"]) / kpc, 12) for k in ("phot", "kin")]
        scene = make_scene(FULL, REDSHIFT, *psfs)._replace(
            kpc_per_pixel=jnp.asarray(kpc), critical_density=jnp.asarray(float(reference["rho_crit_msun_kpc3"]))
        )
        maps = as_float64(compiled(("bulge", "disc1", "disc2", "halo"), FULL, "point")(values, scene).maps)
        brightness, velocity, dispersion = reference["psf" if blurred else "no_psf"][galaxy].astype(float)
        np.testing.assert_allclose(maps[0], np.log10(brightness), rtol=0, atol=1e-5)
        # Its G, 4.299e-6, makes every speed 2.2e-4 smaller. Velocities cross zero: there, relative to 1 km/s.
        np.testing.assert_allclose(maps[1], velocity, rtol=3e-4, atol=3e-4)
        np.testing.assert_allclose(maps[2], dispersion, rtol=3e-4)


def gaussian_image(sigma, half):
    """A Gaussian of `sigma` pixels, sampled at the centres of (2 half + 1)^2 pixels and normalised."""
    profile = np.exp(-0.5 * (np.arange(-half, half + 1) / sigma) ** 2)
    image = np.outer(profile, profile) / profile.sum() ** 2
    return ImagePSF(tuple(map(tuple, image.tolist())))


def assert_pixel_targets(values, canvas, psfs=(PHOTOMETRIC, KINEMATIC), oversample=25):
    expected = plain_maps(values, canvas, REDSHIFT, *psfs, "pixel", oversample)
    assert_near(model_maps(values, canvas, psfs, "pixel"), expected, PIXEL_TOLERANCES)


@pytest.mark.parametrize("name", ["typical", *NASTY])
def test_pixel_maps_of_hard_galaxies(name):
    # A bulge of 1e12 M_sun in 0.1 kpc moves at 6000 km/s, where 25 parts are wrong by 0.3 km/s themselves.
    parts = 49 if name == "steep-massive" else 25
    assert_pixel_targets({"typical": TYPICAL, **NASTY}[name], SMALL, oversample=parts)


@pytest.mark.parametrize("galaxy", range(3))
def test_pixel_maps_of_prior_draws(galaxy):
    assert_pixel_targets(draws_with_resolved_bulges(3, 3)[galaxy], FULL)


@pytest.mark.slow
@pytest.mark.parametrize("galaxy", range(20))
def test_pixel_maps_of_more_prior_draws(galaxy):
    assert_pixel_targets(draws_with_resolved_bulges(4, 20)[galaxy], SMALL)


@pytest.mark.parametrize(
    "psf",
    [DoubleGaussianPSF(1.4, 3.5, 0.3), MoffatPSF(2.0, 3.5), GaussianPSF(1.0), GaussianPSF(2.5)],
    ids=["double", "moffat", "narrow", "broad"],
)
def test_pixel_maps_through_other_psfs(psf):
    # 11 parts: pixels and PSF are smooth on a tenth of a pixel, (0.1 / sigma)^2 / 12 = 1e-3 of the curvature.
    assert_pixel_targets(TYPICAL, SMALL, (psf, psf), oversample=11)


@pytest.mark.parametrize(
    ("psfs", "spacing"),
    [
        ((GaussianPSF(2.5), GaussianPSF(1.7)), 1.0),
        ((GaussianPSF(1.3), GaussianPSF(2.5)), 0.75),
        ((GaussianPSF(2.5), GaussianPSF(1.2)), 0.5),
        ((DoubleGaussianPSF(1.4, 3.5, 0.3), GaussianPSF(2.5)), 0.75),
        ((ImagePSF(np.ones((5, 5))), GaussianPSF(2.5)), 0.5),
    ],
)
@pytest.mark.parametrize("pixel_scale", [0.5, 2.0])
def test_source_points_are_as_close_as_the_narrowest_psf_needs(psfs, spacing, pixel_scale):
    canvas = Canvas(17, pixel_scale)
    sources = np.asarray(make_scene(canvas, REDSHIFT, *psfs, fidelity="pixel").sources)
    np.testing.assert_allclose(np.diff(sources) * pixel_scale, spacing)
    # Light from the margin is followed, and the first pixel's edge lies between two points on every canvas.
    assert (sources[0] + 0.5) * pixel_scale < -5
    assert (sources[-1] - 16.5) * pixel_scale > 5
    assert sources.size % 2 == 0
    assert np.min(np.abs(sources + 0.5)) * pixel_scale == pytest.approx(spacing / 2)


def test_pixel_maps_on_coarse_pixels():
    assert_pixel_targets(TYPICAL, Canvas(20, 2.0), oversample=51)


@pytest.mark.parametrize("fidelity", ["point", "pixel"])
@pytest.mark.parametrize("psf", [GaussianPSF(1.5), DoubleGaussianPSF(1.4, 2.5, 0.3)], ids=["gaussian", "double"])
def test_light_is_conserved(psf, fidelity):
    """A compact galaxy on a canvas of 24 kpc: all but the bulge's outskirts is there, whatever the PSF."""
    values = TYPICAL | {
        "bulge_slope": 2.0,
        "log10_bulge_radius": -1.0,
        "log10_disc1_radius": math.log10(0.5),
        "log10_disc2_radius": math.log10(0.8),
        "x0": 0.0,
        "y0": 0.0,
    }
    if fidelity == "point":
        # Values at points are not integrals: without a bulge and with discs of several pixels the sum is one.
        values |= {"ml_bulge": 1e12}
    light = {c: 10 ** values[f"log10_{c}_mass"] / values[f"ml_{c}"] for c in ("bulge", "disc1", "disc2")}
    scene = make_scene(FULL, REDSHIFT, psf, psf, fidelity=fidelity)
    maps = model_maps(values, FULL, (psf, psf), fidelity)
    total = (10 ** maps[0]).sum() * float(scene.kpc_per_pixel) ** 2
    # In projection, less than its share beyond r = 10 kpc in space lies beyond R = 10 kpc.
    missing = light["bulge"] * (1 - 10 / (10 + 0.1))
    everything = sum(light.values())
    precision = 1e-3 if fidelity == "pixel" else 5e-3
    assert everything * (1 - precision) - missing < total < everything * (1 + precision)
    unseen = as_float64(plain_maps(values, FULL, REDSHIFT, None, None, fidelity, 5))
    before = (10 ** unseen[0]).sum() * float(scene.kpc_per_pixel) ** 2
    assert total == pytest.approx(before, rel=1e-3)


def test_the_canvas_edge_sees_light_from_beyond():
    """A bright galaxy just outside of the canvas shines in through the PSF."""
    values = TYPICAL | {"x0": 6.3, "y0": 0.0}
    expected = plain_maps(values, SMALL, REDSHIFT, PHOTOMETRIC, KINEMATIC)
    assert_near(model_maps(values, SMALL, (PHOTOMETRIC, KINEMATIC)), expected, POINT_TOLERANCES)
    assert_pixel_targets(values, SMALL)


def test_an_image_of_a_psf_does_what_the_psf_does():
    """The response of pixels to a Gaussian, given as an image: between its pixels, `pixel` interpolates."""
    psf = GaussianPSF(2.5)
    kernel = make_kernel(psf, SMALL, 25)
    half = kernel.shape[0] // 50 + 1
    # A point source at a pixel's centre, seen by the pixels around it.
    size = (4 * half + 1) * 25
    source = np.zeros((size, size))
    source[size // 2, size // 2] = 625.0
    response = instrument(kernel, half, 25)(source)
    image = ImagePSF(tuple(map(tuple, (response / response.sum()).tolist())))
    expected = model_maps(TYPICAL, SMALL, (psf, psf), "pixel")
    assert_near(model_maps(TYPICAL, SMALL, (image, image), "pixel"), expected, PIXEL_TOLERANCES)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: GalaxyModel("disc1"), "components is 'disc1'; a tuple of names is needed"),
        (lambda: GalaxyModel(("disc1", 3)), "components is .*3.*; a tuple of names"),
        (lambda: GalaxyModel(("disk1",)), "unknown component 'disk1'; did you mean 'disc1'"),
        (lambda: GalaxyModel(("disc1", "thick_disc1")), "has disc1 twice"),
        (lambda: GalaxyModel(("halo",)), "a model of halo has no light"),
        (lambda: GalaxyModel(canvas=20), "the canvas is 20; one such as Canvas"),
        (lambda: make_scene(20, REDSHIFT), "the canvas is 20; one such as Canvas"),
        (lambda: Canvas("20"), "canvas size is '20'; a whole number of at least 2"),
        (lambda: Canvas(20.5), "canvas size is 20.5; a whole number of at least 2"),
        (lambda: Canvas(20, "2"), "pixel scale is '2' arcsec"),
        (lambda: Canvas(20, math.inf), "pixel scale is inf arcsec"),
        (lambda: GaussianPSF("narrow"), "FWHM of the PSF is 'narrow' arcsec; a positive number"),
        (lambda: DoubleGaussianPSF(1.0, None, 0.5), "wide FWHM of the PSF is None arcsec"),
        (lambda: DoubleGaussianPSF(1.0, 2.0, "half"), "wide fraction of the PSF is 'half'; a number from 0 to 1"),
        (lambda: MoffatPSF(2.0, None), "beta of the Moffat PSF is None; a number above 1"),
        (lambda: ImagePSF([[1.0, 2.0], [3.0]]), "the PSF image is no table of numbers"),
    ],
)
def test_what_no_model_can_be_made_of(make, sentence):
    with pytest.raises(InputError, match=sentence):
        make()


def test_a_scene_without_psf_is_refused_by_the_model_too():
    model = GalaxyModel(("disc1",), Canvas(8))
    with pytest.raises(InputError, match="fidelity 'pixel' needs a PSF for both photometry and kinematics"):
        model(TYPICAL, make_scene(Canvas(8), REDSHIFT))


def test_a_list_of_components_does_as_well():
    assert hash(GalaxyModel(["disc1", "halo"])) == hash(GalaxyModel(("disc1", "halo")))
