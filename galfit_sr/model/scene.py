"""Everything about a galaxy that its model needs but does not fit: scales, cosmology, point spread functions."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from astropy import units
from astropy.cosmology import FlatLambdaCDM

from ..errors import InputError
from ..numeric import is_positive
from ..psf import PSF, ImagePSF
from .grid import Canvas
from .kernel import STEPS, Kernel, core_fwhm, make_kernel

COSMOLOGY = FlatLambdaCDM(H0=70, Om0=0.3)
MARGIN = 6.0
"""Light from this far beyond the canvas [arcsec] is followed through the PSF."""
FIDELITIES = ("point", "pixel")
_FINEST, _COARSER = 0.5, (2.0, 1.5)
"""Spacing of source points [arcsec], and the factors by which that may grow where the PSF is broad enough."""
_NARROWEST, _BROAD = 1.2, 1.7
"""Source spacings in the FWHM of the narrowest core: at least, and for a coarser grid (docs/model.md)."""


class Scene(NamedTuple):
    """Arrays only: a second galaxy is another scene for the same compiled program.

    Attributes:
        kpc_per_pixel: scalar.
        origin: (2,) x and y on the canvas [pixels] of the model's (0, 0).
        critical_density: scalar [M_sun/kpc^3], at the galaxy's redshift.
        sources: (g,) places along a side at which the model is evaluated [pixels, 0 at the first one's centre], evenly
            spaced: the pixels' centres, and, where there is a PSF, a margin.
        photometry, kinematics: the PSF of the images and of the kinematics; None for none.
    """

    kpc_per_pixel: jax.Array
    origin: jax.Array
    critical_density: jax.Array
    sources: jax.Array
    photometry: Kernel | None
    kinematics: Kernel | None


def kpc_per_arcsec(redshift: float) -> float:
    """Proper transverse scale in a flat LCDM with H0 = 70, Om = 0.3."""
    return 1 / COSMOLOGY.arcsec_per_kpc_proper(redshift).to_value(units.arcsec / units.kpc)


def critical_density(redshift: float) -> float:
    """Critical density of the Universe [M_sun/kpc^3] at a redshift."""
    return COSMOLOGY.critical_density(redshift).to_value(units.Msun / units.kpc**3)


def check_fidelity(fidelity: str, has_psf: bool) -> None:
    """Raises InputError for an unknown fidelity, and for `pixel` without a PSF."""
    if fidelity not in FIDELITIES:
        raise InputError(f"fidelity is {fidelity!r}; allowed are {' and '.join(FIDELITIES)}")
    if fidelity == "pixel" and not has_psf:
        raise InputError("fidelity 'pixel' needs a PSF for both photometry and kinematics; use 'point' without one")


def _source_points(canvas: Canvas, fidelity: str, psfs: tuple[PSF, ...]) -> np.ndarray:
    """Places of `Scene.sources`: pixel centres for `point`; for `pixel`, so close that every PSF is band-limited there.

    Raises:
        InputError: a PSF is too narrow.
    """
    spacing = _spacing(canvas.pixel_scale, psfs) if fidelity == "pixel" else 1.0
    margin, inside = (
        math.ceil(length / spacing) for length in (MARGIN / canvas.pixel_scale if psfs else 0, canvas.size)
    )
    # Loops over odd numbers of points are not vectorised on CPUs: 0.60 instead of 0.34 ms for a window of 34 pixels.
    more = inside % 2 if fidelity == "pixel" else 0
    # From the edge of the first pixel, on every canvas: see `period`.
    return spacing * (np.arange(-margin, inside + margin + more) + 0.5) - 0.5


def period(scene: Scene) -> int:
    """Pixels by which a galaxy, or a canvas, may be moved so that the same source points lie in the same places."""
    return Fraction(float(scene.sources[1] - scene.sources[0])).limit_denominator(STEPS).numerator


def _spacing(pixel_scale: float, psfs: tuple[PSF, ...]) -> float:
    """Of the source points [pixels]."""
    divide = max(1, math.ceil(pixel_scale / _FINEST - 1e-6))
    # A power of two, so that every distance between pixel and source falls on the kernel's table.
    finest = 1 / (1 << (divide - 1).bit_length())
    needed, narrowest = _NARROWEST * pixel_scale * finest, math.inf
    for psf in psfs:
        # An image is taken as it is, on the finest points.
        core = 0.0 if isinstance(psf, ImagePSF) else core_fwhm(psf)
        if not isinstance(psf, ImagePSF) and core < needed:
            raise InputError(
                f"the PSF {psf} is too narrow for fidelity 'pixel' on {pixel_scale} arcsec pixels:"
                f" its core has a FWHM of {core:.2f} arcsec and {needed:.2f} are needed"
            )
        narrowest = min(narrowest, core)
    most = narrowest / (_BROAD * pixel_scale)
    coarser = (factor * finest for factor in _COARSER)
    return next((spacing for spacing in coarser if spacing <= most and STEPS / 2 * spacing % 1 == 0), finest)


def make_scene(
    canvas: Canvas,
    redshift: float,
    psf_photometry: PSF | None = None,
    psf_kinematics: PSF | None = None,
    *,
    fidelity: str = "point",
    origin: tuple[float, float] | None = None,
) -> Scene:
    """The scene of a galaxy, for a model on `canvas` with `fidelity`.

    Args:
        canvas: of the model.
        redshift: positive.
        psf_photometry, psf_kinematics: both, or neither for maps without a PSF.
        fidelity: `point` or `pixel`.
        origin: (x, y) on the canvas [pixels] of the model's (0, 0); its middle if not given.

    Raises:
        InputError: no canvas, a redshift that is not positive, something else for a PSF, one PSF without the other, or
            one too narrow for the pixels.
    """
    if not isinstance(canvas, Canvas):
        raise InputError(f"the canvas is {canvas!r}; one such as Canvas(80, 0.5) is needed")
    if not is_positive(redshift):
        raise InputError(f"redshift is {redshift!r}; a positive number is needed")
    if (psf_photometry is None) != (psf_kinematics is None):
        raise InputError("one PSF is missing; give those of photometry and kinematics, or neither")
    for psf in (psf_photometry, psf_kinematics):
        if psf is not None and not isinstance(psf, PSF):
            raise InputError(f"a PSF is {psf!r}; one such as GaussianPSF(2.5) is needed")
    check_fidelity(fidelity, psf_photometry is not None)
    sources = _source_points(canvas, fidelity, tuple(p for p in (psf_photometry, psf_kinematics) if p is not None))
    offsets = np.arange(canvas.size)[:, None] - sources
    dtype = jnp.result_type(float)

    def kernel(psf: PSF | None) -> Kernel | None:
        if psf is None:
            return None
        made = make_kernel(psf, canvas.pixel_scale, offsets, fidelity == "pixel")
        return Kernel(*(jnp.asarray(a, dtype) for a in made))

    middle = (canvas.size - 1) / 2
    return Scene(
        jnp.asarray(kpc_per_arcsec(redshift) * canvas.pixel_scale, dtype),
        jnp.asarray((middle, middle) if origin is None else origin, dtype),
        jnp.asarray(critical_density(redshift), dtype),
        jnp.asarray(sources, dtype),
        kernel(psf_photometry),
        kernel(psf_kinematics),
    )
