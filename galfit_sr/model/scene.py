"""Everything about a galaxy that its model needs but does not fit: scales, cosmology, point spread functions."""

from __future__ import annotations

import math
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
from .kernel import Kernel, gaussians, make_kernel

COSMOLOGY = FlatLambdaCDM(H0=70, Om0=0.3)
MARGIN = 6.0
"""Light from this far beyond the canvas [arcsec] is followed through the PSF."""
FIDELITIES = ("point", "pixel")
_SOURCE_SPACING = 0.5
_NARROWEST = 1.2


class Scene(NamedTuple):
    """Arrays only: a second galaxy is another scene for the same compiled program.

    Attributes:
        kpc_per_pixel: scalar.
        origin: (2,) x and y on the canvas [pixels] of the model's (0, 0).
        critical_density: scalar [M_sun/kpc^3], at the galaxy's redshift.
        photometry, kinematics: the PSF of the images and of the kinematics; None for none.
    """

    kpc_per_pixel: jax.Array
    origin: jax.Array
    critical_density: jax.Array
    photometry: Kernel | None
    kinematics: Kernel | None


def kpc_per_arcsec(redshift: float) -> float:
    """Proper transverse scale in a flat LCDM with H0 = 70, Om = 0.3."""
    return 1 / COSMOLOGY.arcsec_per_kpc_proper(redshift).to_value(units.arcsec / units.kpc)


def critical_density(redshift: float) -> float:
    """Critical density of the Universe [M_sun/kpc^3] at a redshift."""
    return COSMOLOGY.critical_density(redshift).to_value(units.Msun / units.kpc**3)


class SourceGrid(NamedTuple):
    """Points along a side at which the model is evaluated: the pixel centres, and a margin where there is a PSF.

    Attributes:
        positions: (g,) in pixels of the canvas, 0 at the first pixel's centre.
        spacing: in pixels.
    """

    positions: np.ndarray
    spacing: float


def source_grid(canvas: Canvas, fidelity: str, has_psf: bool) -> SourceGrid:
    """The source points of a canvas.

    `point` takes pixel centres. `pixel` needs points close enough for the PSF to be band-limited on them, so coarse
    pixels are divided.

    Raises:
        InputError: `pixel` without a PSF, or an unknown fidelity.
    """
    if fidelity not in FIDELITIES:
        raise InputError(f"fidelity is {fidelity!r}; allowed are {' and '.join(FIDELITIES)}")
    if fidelity == "pixel" and not has_psf:
        raise InputError("fidelity 'pixel' needs a PSF for both photometry and kinematics; use 'point' without one")
    divide = max(1, math.ceil(canvas.pixel_scale / _SOURCE_SPACING - 1e-6)) if fidelity == "pixel" else 1
    # A power of two, so that every distance between pixel and source falls on the kernel's table.
    divide = 1 << (divide - 1).bit_length()
    margin = math.ceil(MARGIN / canvas.pixel_scale) if has_psf else 0
    count = (canvas.size + 2 * margin) * divide
    return SourceGrid((np.arange(count) + 0.5) / divide - 0.5 - margin, 1 / divide)


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
    grid = source_grid(canvas, fidelity, psf_photometry is not None)
    offsets = np.arange(canvas.size)[:, None] - grid.positions
    dtype = jnp.result_type(float)

    def kernel(psf: PSF | None) -> Kernel | None:
        if psf is None:
            return None
        if fidelity == "pixel" and not isinstance(psf, ImagePSF):
            narrowest = _NARROWEST * canvas.pixel_scale * grid.spacing
            width = gaussians(psf)[1].min() * 2 * math.sqrt(2 * math.log(2))
            if width < narrowest:
                raise InputError(
                    f"the PSF {psf} is too narrow for fidelity 'pixel' on {canvas.pixel_scale} arcsec pixels:"
                    f" its core has a FWHM of {width:.2f} arcsec and {narrowest:.2f} are needed"
                )
        made = make_kernel(psf, canvas.pixel_scale, offsets, fidelity == "pixel")
        return Kernel(*(jnp.asarray(a, dtype) for a in made))

    middle = (canvas.size - 1) / 2
    return Scene(
        jnp.asarray(kpc_per_arcsec(redshift) * canvas.pixel_scale, dtype),
        jnp.asarray((middle, middle) if origin is None else origin, dtype),
        jnp.asarray(critical_density(redshift), dtype),
        kernel(psf_photometry),
        kernel(psf_kinematics),
    )
