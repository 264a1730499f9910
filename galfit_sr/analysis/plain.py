"""The four maps in plain NumPy and SciPy, float64: what the accuracy tests trust and the benchmark compares with.

`point` convolves values at pixel centres by direct sums. `pixel` is brute force: a canvas that is finer by `oversample`
is seen through the point spread function and then averaged over pixels. Around the centre that does not converge: the
light-weighted moments of a Dehnen bulge rise as steeply as R^(3-2 gamma), R^-1.8 for gamma = 2.4, and what the inner
parts of a pixel hold falls as oversample^-0.2 only. There, Gaussian quadrature on nodes that are graded towards the
centre takes the place of fine pixels; every node's light is shared between the nearest fine pixels so that its sum
and its centre of gravity are kept.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np
from scipy.ndimage import convolve, convolve1d
from scipy.signal import fftconvolve

from ..errors import InputError
from ..maps import Maps
from ..model.grid import Canvas
from ..model.scene import critical_density as critical_density_at
from ..model.scene import kpc_per_arcsec
from ..psf import PSF, DoubleGaussianPSF, GaussianPSF, ImagePSF, MoffatPSF
from .plain_profiles import Planes, planes_at

_FWHM = 2 * math.sqrt(2 * math.log(2))
"""Full width at half maximum over standard deviation of a Gaussian."""

_SIGMAS = 8
"""Reach of Gaussian kernels. At 6 sigma (1e-8) the centre of a compact galaxy still outshines its outskirts."""

_HALVINGS = 90
"""Gradings towards the centre: what is left inside, at worst 2^(-0.2 * 90), is 4e-6 of the integral."""

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(6)

_NEAR = 2.5
"""Distance from the galaxy's centre [pixels], along each axis, within which averages come from graded nodes."""

_POINTS_AT_ONCE = 60_000
"""Of brute force: temporary arrays of 0.5 MB stay in a core's cache."""

Instrument = Callable[[np.ndarray], np.ndarray]
"""Turns a padded plane of the source into one seen by the detector, without padding."""


def plain_maps(
    values: Mapping[str, float],
    canvas: Canvas,
    redshift: float,
    psf_photometry: PSF | None = None,
    psf_kinematics: PSF | None = None,
    fidelity: Literal["point", "pixel"] = "point",
    oversample: int = 25,
    origin: tuple[float, float] | None = None,
) -> Maps:
    """The four maps of a galaxy, (n, n) float64 each, units as in `Maps`.

    Args:
        values: parameters by name, units of the model; components whose mass is absent are left out.
        canvas: size and pixel scale.
        redshift: sets the physical scale and the critical density.
        psf_photometry, psf_kinematics: point spread functions, None for a perfect instrument.
        fidelity: values at the pixels' centres, or averages over pixels.
        oversample: odd number of parts along each side of a pixel, for `pixel`.
        origin: position of (x0, y0) = (0, 0) on the canvas [pixel]; its middle if None.
    """
    parts = 1 if fidelity == "point" else oversample
    kernels = [make_kernel(psf, canvas, parts) for psf in (psf_photometry, psf_kinematics)]
    pad = max(math.ceil((k.shape[0] // 2) / parts) for k in kernels)
    planes = plain_planes(
        values,
        canvas.size,
        canvas.pixel_scale * kpc_per_arcsec(redshift),
        critical_density_at(redshift),
        pad,
        fidelity,
        oversample,
        origin,
    )
    photometry, kinematics = (instrument(kernel, pad, parts) for kernel in kernels)
    return combine(values, planes, photometry, kinematics)


def plain_planes(
    values: Mapping[str, float],
    size: int,
    kpc_per_pixel: float,
    critical_density: float,
    pad: int = 0,
    fidelity: Literal["point", "pixel"] = "point",
    oversample: int = 25,
    origin: tuple[float, float] | None = None,
) -> Planes:
    """Planes on a canvas padded by `pad` pixels on each side, before any point spread function.

    Args:
        size, pad: pixels along a side of the canvas, pixels added around it.
        kpc_per_pixel: kpc.
        critical_density: M_sun/kpc^3.
        values, fidelity, oversample, origin: as for `plain_maps`.

    Returns:
        (size + 2 pad,) * 2 values at pixel centres for `point`; `oversample` times as many averages for `pixel`.
    """
    middle = ((size - 1) / 2, (size - 1) / 2) if origin is None else origin
    parts = 1 if fidelity == "point" else oversample
    index = (np.arange((size + 2 * pad) * parts) + 0.5) / parts - 0.5 - pad
    x = (index - middle[0]) * kpc_per_pixel - values["x0"]
    y = (index - middle[1]) * kpc_per_pixel - values["y0"]
    rows = max(1, _POINTS_AT_ONCE // x.size)
    pieces = []
    for first in range(0, y.size, rows):
        dx, dy = np.meshgrid(x, y[first : first + rows])
        pieces.append(planes_at(values, dx, dy, critical_density))
    planes = Planes(*(np.concatenate(p) for p in zip(*pieces, strict=True)))
    if fidelity == "pixel":
        _replace_centre(planes, values, x, y, kpc_per_pixel, critical_density)
    return planes


def _replace_centre(
    planes: Planes, values: Mapping[str, float], x: np.ndarray, y: np.ndarray, kpc_per_pixel: float, density: float
) -> None:
    """Puts graded quadrature in place of the fine pixels around the galaxy's centre, in the planes themselves."""
    near_x, near_y = (np.flatnonzero(np.abs(q) < _NEAR * kpc_per_pixel) for q in (x, y))
    if near_x.size == 0 or near_y.size == 0:
        return
    nodes_x, share_x, around_x = _graded_rule(x, near_x)
    nodes_y, share_y, around_y = _graded_rule(y, near_y)
    dx, dy = np.meshgrid(nodes_x, nodes_y)
    centre = planes_at(values, dx, dy, density)
    for plane, light in zip(planes, centre, strict=True):
        plane[np.ix_(near_y, near_x)] = 0.0
        plane[around_y, around_x] += share_y @ light @ share_x.T


def _graded_rule(centres: np.ndarray, near: np.ndarray) -> tuple[np.ndarray, np.ndarray, slice]:
    """Nodes along one axis, dense towards 0, and the matrix that shares them out as averages.

    Args:
        centres: of the fine pixels [kpc].
        near: indices of those that the nodes replace, consecutive.

    Returns:
        (nodes,) positions [kpc]; (pixels, nodes) shares; which fine pixels these are: those that are replaced, and one
        more on each side.
    """
    width = centres[1] - centres[0]
    edges = np.append(centres[near] - width / 2, centres[near[-1]] + width / 2)
    powers = np.abs(edges).max() * 2.0 ** -np.arange(_HALVINGS)
    breaks = np.unique(np.concatenate([edges, powers, -powers, [0.0]]))
    breaks = breaks[(breaks >= edges[0]) & (breaks <= edges[-1])]
    half = np.diff(breaks)[:, None] / 2
    nodes = (breaks[:-1, None] + half * (1 + _NODES)).ravel()
    around = slice(max(near[0] - 1, 0), near[-1] + 2)
    share = np.maximum(0.0, 1 - np.abs(centres[around, None] - nodes) / width)
    return nodes, share * (half * _WEIGHTS).ravel() / width, around


def make_kernel(psf: PSF | None, canvas: Canvas, parts: int = 1) -> np.ndarray:
    """A point spread function at the centres of pixels, or of parts of them, (odd, odd), summing to 1.

    Args:
        psf: None for a perfect instrument, a kernel of one pixel.
        canvas: for the pixel scale; a Moffat profile, which has no natural end, reaches across the canvas.
        parts: along each side of a pixel.

    Raises:
        InputError: an image and parts: it is known on whole pixels only.
    """
    if psf is None:
        return np.ones((1, 1))
    if isinstance(psf, ImagePSF):
        if parts > 1:
            raise InputError("the PSF is an image, known on whole pixels; brute force needs 'point' or a profile")
        image = np.asarray(psf.image, dtype=float)
        return image / image.sum()
    if isinstance(psf, GaussianPSF):
        reach = _SIGMAS * psf.fwhm / _FWHM
    elif isinstance(psf, DoubleGaussianPSF):
        reach = _SIGMAS * max(psf.fwhm, psf.fwhm_wide) / _FWHM
    else:
        reach = canvas.size * canvas.pixel_scale
    step = canvas.pixel_scale / parts
    half = math.ceil(reach / step)
    offset = np.arange(-half, half + 1) * step
    kernel = _profile(psf, offset**2 + offset[:, None] ** 2)
    return kernel / kernel.sum()


def _profile(psf: GaussianPSF | DoubleGaussianPSF | MoffatPSF, radius2: np.ndarray) -> np.ndarray:
    """Value of a point spread function, up to a factor, at a squared radius [arcsec^2]."""
    if isinstance(psf, GaussianPSF):
        return np.exp(-radius2 / (2 * (psf.fwhm / _FWHM) ** 2))
    if isinstance(psf, DoubleGaussianPSF):
        variances = [(w / _FWHM) ** 2 for w in (psf.fwhm, psf.fwhm_wide)]
        shares = (1 - psf.wide_fraction, psf.wide_fraction)
        narrow, wide = (f / v * np.exp(-radius2 / (2 * v)) for f, v in zip(shares, variances, strict=True))
        return narrow + wide
    alpha2 = (psf.fwhm / 2) ** 2 / (2 ** (1 / psf.beta) - 1)
    return (1 + radius2 / alpha2) ** -psf.beta


def instrument(kernel: np.ndarray, pad: int, parts: int = 1) -> Instrument:
    """Convolution with a kernel on a fine grid, then the average over pixels of parts^2 fine ones.

    Args:
        kernel: (odd, odd), summing to 1.
        pad: pixels around the canvas, at least half the kernel.
        parts: along each side of a pixel.
    """
    row, column = kernel.sum(0), kernel.sum(1)
    separable = np.allclose(np.outer(column, row), kernel, rtol=1e-12, atol=0)

    def cut(smooth: np.ndarray) -> np.ndarray:
        inner = smooth[pad * parts : smooth.shape[0] - pad * parts, pad * parts : smooth.shape[1] - pad * parts]
        return inner.reshape(inner.shape[0] // parts, parts, -1, parts).mean((1, 3))

    def see(plane: np.ndarray) -> np.ndarray:
        if parts == 1 and not separable:
            # Not by Fourier transforms: they drown faint outskirts in the rounding of a bright centre.
            return cut(convolve(plane, kernel, mode="constant"))
        if parts == 1:
            return cut(convolve1d(convolve1d(plane, row, axis=1, mode="constant"), column, axis=0, mode="constant"))
        if not separable:
            return cut(fftconvolve(plane, kernel, mode="same"))
        pixels = plane.shape[0] // parts - 2 * pad
        return _averaging(column, pixels, pad, parts) @ plane @ _averaging(row, pixels, pad, parts).T

    return see


def _averaging(kernel: np.ndarray, pixels: int, pad: int, parts: int) -> np.ndarray:
    """(pixels, fine pixels with padding): along an axis, convolution with a kernel (odd,) and average over parts."""
    response = np.convolve(kernel[::-1], np.ones(parts) / parts)
    matrix = np.zeros((pixels, (pixels + 2 * pad) * parts))
    for pixel in range(pixels):
        first = (pad + pixel) * parts - kernel.size // 2
        matrix[pixel, first : first + response.size] = response
    return matrix


def combine(values: Mapping[str, float], planes: Planes, photometry: Instrument, kinematics: Instrument) -> Maps:
    """Observes padded planes and divides: the maps as the instruments see them.

    Args:
        values: parameters by name; `systemic_velocity`, if there, is added to the velocity.
        planes: padded, as the instruments expect them.
        photometry, kinematics: from `instrument`.
    """
    light, mass = photometry(planes.light), photometry(planes.mass)
    weight, first, second = (kinematics(p) for p in (planes.light, planes.light_v, planes.light_v2))
    velocity = first / weight
    # Rounding may leave a slightly negative variance where a cold disc is alone; the true one is not negative.
    dispersion = np.sqrt(np.maximum(second / weight - velocity**2, 0.0))
    return Maps(np.log10(light), velocity + values.get("systemic_velocity", 0.0), dispersion, mass / light)
