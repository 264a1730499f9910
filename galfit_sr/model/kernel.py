"""A point spread function as the model uses it: a short sum of separable kernels, tabulated along each axis.

A Gaussian is one separable term. A Moffat profile is a Gamma mixture of Gaussians, hence a few terms by Gauss-Laguerre
quadrature. Any other kernel is the singular value decomposition of its image.
"""

from __future__ import annotations

from functools import reduce
from operator import add
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.interpolate import CubicSpline
from scipy.special import erf, roots_genlaguerre

from ..psf import PSF, DoubleGaussianPSF, GaussianPSF, ImagePSF, MoffatPSF

STEPS = 16
"""Samples of a tabulated kernel per pixel: cubic interpolation is good to 1e-6 of the peak for sigma >= 1 pixel."""
_MOFFAT_TERMS = 10
_IMAGE_TOLERANCE = 1e-5
_FWHM = 2 * np.sqrt(2 * np.log(2))
Array = jax.Array | np.ndarray


class Kernel(NamedTuple):
    """A PSF of K separable terms, for a canvas of n pixels and a source grid of g points along a side.

    Attributes:
        rows, columns: (K, n, g) weight of each source point in each pixel, along y and x.
        table: (2, K, STEPS, T) the same kernels, along y and x, against the distance of pixel and source, symmetric
            about the middle: sample s of the pixel that is t - (T - 1)/2 pixels away. All pixels see a source at the
            same sample.
    """

    rows: Array
    columns: Array
    table: Array


def make_kernel(psf: PSF, pixel_scale: float, offsets: np.ndarray, integrate: bool) -> Kernel:
    """The kernel of `psf` in pixels.

    Args:
        psf: the point spread function.
        pixel_scale: arcsec.
        offsets: (n, g) distance of pixel and source point along an axis, in pixels, multiples of 1/STEPS.
        integrate: whether pixels integrate the light (True), or take the value at their centre of a kernel sampled
            there and normalised to unit sum (False).

    Returns:
        arrays in NumPy float64.
    """
    reach = int(np.ceil(np.abs(offsets).max())) + 2
    x = np.arange(-reach * STEPS, reach * STEPS + 1) / STEPS
    if isinstance(psf, ImagePSF):
        table = _image_terms(np.asarray(psf.image, dtype=float), x)
    else:
        weights, sigmas = gaussians(psf)
        sigmas = sigmas / pixel_scale
        terms = [_gaussian(x, sigma, integrate) for sigma in sigmas]
        table = np.stack([np.stack([w * term, term]) for w, term in zip(weights, terms, strict=True)])
    index = np.rint((offsets + reach) * STEPS).astype(int)
    pixels = np.pad(table, ((0, 0), (0, 0), (0, STEPS - 1))).reshape(*table.shape[:2], 2 * reach + 1, STEPS)
    return Kernel(table[:, 0][:, index], table[:, 1][:, index], pixels.transpose(1, 0, 3, 2))


def gaussians(psf: GaussianPSF | DoubleGaussianPSF | MoffatPSF) -> tuple[np.ndarray, np.ndarray]:
    """Fluxes (summing to 1) and standard deviations [arcsec] of the Gaussians that make up a PSF.

    Moffat: (1+r^2/a^2)^-b is proportional to Int t^(b-1) exp(-t) exp(-t r^2/a^2) dt, a mixture of Gaussians of variance
    a^2/(2t) whose fluxes follow a Gamma distribution of shape b-1.
    """
    if isinstance(psf, GaussianPSF):
        return np.array([1.0]), np.array([psf.fwhm / _FWHM])
    if isinstance(psf, DoubleGaussianPSF):
        fractions = np.array([1 - psf.wide_fraction, psf.wide_fraction])
        return fractions, np.array([psf.fwhm, psf.fwhm_wide]) / _FWHM
    alpha = psf.fwhm / (2 * np.sqrt(2 ** (1 / psf.beta) - 1))
    nodes, weights = roots_genlaguerre(_MOFFAT_TERMS, psf.beta - 2)
    return weights / weights.sum(), alpha / np.sqrt(2 * nodes)


def core_fwhm(psf: GaussianPSF | DoubleGaussianPSF | MoffatPSF) -> float:
    """FWHM of the narrowest of the Gaussians that make up a PSF [arcsec]."""
    return float(gaussians(psf)[1].min() * _FWHM)


def _gaussian(x: np.ndarray, sigma: float, integrate: bool) -> np.ndarray:
    if integrate:
        return (erf((x + 0.5) / (np.sqrt(2) * sigma)) - erf((x - 0.5) / (np.sqrt(2) * sigma))) / 2
    kernel = np.exp(-0.5 * (x / sigma) ** 2)
    return kernel / kernel[::STEPS].sum()


def _image_terms(image: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Separable terms of a pixel image, (K, 2, T); between the pixels by cubic splines, 0 outside."""
    rows, strengths, columns = np.linalg.svd(image / image.sum())
    count = max(1, int(np.sum(strengths > _IMAGE_TOLERANCE * strengths[0])))
    half = image.shape[0] // 2
    centres = np.arange(-half - 1, half + 2)

    def spread(vector):
        spline = CubicSpline(centres, np.pad(vector, 1), bc_type="clamped")
        return np.where(np.abs(x) <= half + 1, spline(np.clip(x, -half - 1, half + 1)), 0.0)

    return np.stack([np.stack([spread(s * rows[:, k]), spread(columns[k])]) for k, s in enumerate(strengths[:count])])


def convolve(kernel: Kernel | None, plane: jax.Array) -> jax.Array:
    """A plane (g, g) on the source grid -> (n, n) in pixels. No kernel: unchanged."""
    if kernel is None:
        return plane
    return _separable(kernel.rows, kernel.columns, plane)


def scatter(kernel: Kernel, y: jax.Array, x: jax.Array, light: jax.Array, size: int) -> jax.Array:
    """Light (m, m) at a tensor grid of positions y, x (m,) [pixels], seen through the PSF: (size, size)."""
    rows, columns = _interpolate(kernel.table, jnp.stack([y, x]), size)
    return _separable(rows, columns, light)


def _separable(rows: Array, columns: Array, plane: jax.Array) -> jax.Array:
    # Full precision: accelerators would otherwise multiply with ten bits.
    return jnp.einsum("kng,gh,kmh->nm", rows, plane, columns, precision=jax.lax.Precision.HIGHEST)


def _interpolate(table: Array, at: jax.Array, size: int) -> jax.Array:
    """Cubic interpolation of tabulated kernels around (2, m) positions, of y and of x, in pixels: (2, K, size, m).

    Nothing of a source too far beyond the canvas for the table.
    """
    _, terms, _, pixels = table.shape
    position = STEPS * ((pixels - 1) // 2 - at)
    whole = jax.lax.stop_gradient(jnp.floor(position))
    f = position - whole
    weights = (-f * (f - 1) * (f - 2) / 6, (f * f - 1) * (f - 2) / 2, -f * (f + 1) * (f - 2) / 2, f * (f * f - 1) / 6)
    inside = (whole >= 1) & (whole + 2 <= STEPS * (pixels - size))
    taps = whole.astype(int)[..., None] + np.arange(-1, 3)[None, None]

    # Slices along the pixels, in one go: gathering every sample on its own is slow, to compile as well.
    def samples(axis, index):
        return jax.lax.dynamic_slice(table, (axis, 0, index % STEPS, index // STEPS), (1, terms, 1, size))[0, :, 0]

    around = jax.vmap(jax.vmap(jax.vmap(samples, (None, 0)), (None, 0)))(np.arange(2), taps)
    shares = jnp.where(inside[None], jnp.stack(weights), 0.0)[..., None, None]
    return jnp.transpose(reduce(add, (share * around[:, :, i] for i, share in enumerate(shares))), (0, 2, 3, 1))
