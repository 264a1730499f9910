"""Mock observations: a model galaxy as a MaNGA bundle would see it, with noise that follows the light."""

from __future__ import annotations

import importlib.resources
import math
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import jax
import numpy as np

from ..correlation import check_correlation, deviates, shared
from ..errors import InputError, unknown_name
from ..maps import Maps, Observation
from ..model.component import Values
from ..model.galaxy import GalaxyModel
from ..model.scene import Scene, make_scene
from ..numeric import number
from ..parameters import KNOWN, check_values, default_parameters, farthest_from_default
from ..psf import IMAGING, PSF, SPECTROSCOPY
from ..seeds import checked_seed
from .binning import average_in_bins, voronoi_bins

BUNDLES = {19: 2, 37: 3, 61: 4, 91: 5, 127: 6}
"""Fibres of a MaNGA bundle -> rings of fibres around the central one (Drory et al. 2015, AJ 149, 77)."""
FIBRE_PITCH = 2.5
"""Distance between the centres of neighbouring fibres [arcsec]; the cores are 2 arcsec wide."""

MOCK_TRUTH: Mapping[str, float] = MappingProxyType(
    {
        "x0": 0.15,
        "y0": -0.25,
        "position_angle": 0.6,
        "inclination": 0.8,
        "log10_bulge_mass": 10.3,
        "log10_bulge_radius": -0.15,
        "bulge_slope": 1.2,
        "log10_disc1_mass": 10.4,
        "log10_disc1_radius": 0.25,
        "log10_disc2_mass": 10.6,
        "log10_disc2_radius": 0.68,
        "log10_halo_fraction": 1.7,
        "halo_concentration": 9.0,
        "ml_bulge": 5.0,
        "ml_disc1": 2.5,
        "ml_disc2": 1.2,
        "k_disc1": 0.4,
        "k_disc2": 0.9,
    }
)
"""A Milky-Way-sized galaxy in which every component shows: a bulge and a hot inner disc that are old, a cold outer
disc that is young. At z = 0.03 its outer disc length is half the radius of the largest bundle."""

MOCK_THICKNESS: Mapping[str, float] = MappingProxyType({"thickness_disc1": 0.25, "thickness_disc2": 0.12})
"""The same of thick discs: an old inner one and a young outer one."""

# Fitted by eye to four MaNGA galaxies: the S/N per spaxel in g is 58 at 10^8.8 L_sun/kpc^2 and 4 at 10^7.3, and the
# errors of velocity and dispersion are 65 and 95 km/s divided by the S/N of the spectrum.
_PHOTONS = 4100.0
_PHOTONS_AT = 8.8
_SKY = 940.0
_LOWEST_RATIO = 4.0
_BIN_RATIO = 10.0


def make_mock(
    values: Mapping[str, float],
    *,
    model: GalaxyModel,
    redshift: float = 0.03,
    noise: float = 1.0,
    correlation: float = 0.0,
    fibres: int = 127,
    seed: int | np.random.Generator,
    bins: bool = False,
    errors: Maps | None = None,
    psf_photometry: PSF = IMAGING,
    psf_kinematics: PSF = SPECTROSCOPY,
    name: str = "mock galaxy",
) -> Observation:
    """Observe a model galaxy.

    The signal-to-noise ratio of a spaxel follows its light, photons over the root of photons and sky, but is nowhere
    below 4 (a real survey would bin). With it, the errors at `noise` = 1 are

        brightness   0.01 dex  (+)  0.43 dex / (S/N)        0.012 to 0.11 dex
        velocity     2 km/s    (+)  65 km/s / (S/N)         2.5 to 16 km/s
        dispersion   3 km/s    (+)  95 km/s / (S/N)         3.5 to 24 km/s
        M/L          5 %       (+)  60 % / (S/N)            5 to 16 %

    added in quadrature; noise is Gaussian, and independent from pixel to pixel (or bin to bin) unless `correlation`
    says otherwise. Such errors tell of the galaxy more than its fit is told; `errors` that are the same for every
    galaxy do not. With `noise` = 0 the values are the model's, exactly, and the errors those of `noise` = 1. The maps
    have the precision JAX computes in: enable x64 for double precision.

    Args:
        values: name -> value of all parameters of the model, in its units; those of other components are not used.
        model: what makes the maps; also gives the canvas.
        redshift: of the galaxy.
        noise: factor on all errors.
        correlation: FWHM [arcsec] of the Gaussian that smoothed the noise of each map, whose size stays as above; 1.6
            is MaNGA's (see docs/mismatch.md). A bin's noise is the average of its pixels', scaled to its error.
        fibres: of the hexagonal bundle whose footprint is good: 19, 37, 61, 91 or 127, or 0 for the whole canvas.
        seed: whole number, or a generator that is advanced.
        bins: whether velocity and dispersion come in Voronoi bins with a signal-to-noise ratio of about 10.
        errors: one number per map, the error at `noise` = 1 of all its pixels, in place of those that follow the light.
        psf_photometry, psf_kinematics: of light and kinematics.
        name: of the galaxy.

    Raises:
        InputError: another number of fibres, a noise or correlation that is negative or no number, a seed that is
            negative, errors of other than four maps, or parameters that are missing, that no model has, or with which
            the model is not finite.
    """
    if not 0 <= number(noise) < math.inf:
        raise InputError(f"noise is {noise!r}; a factor of 0 or more is needed")
    check_correlation(correlation)
    if not isinstance(seed, np.random.Generator):
        seed = checked_seed(seed)
    if errors is not None and not (isinstance(errors, list | tuple) and len(errors) == len(Maps._fields)):
        raise InputError(f"errors are {errors!r}; a number each for {', '.join(Maps._fields)} is needed")
    _check_given(values, model)
    random = np.random.default_rng(seed)
    canvas = model.canvas
    good = footprint(fibres, canvas.size, canvas.pixel_scale)
    scene = make_scene(canvas, redshift, psf_photometry, psf_kinematics, fidelity=model.fidelity)
    exact = Maps(*(np.asarray(m, dtype=np.float64) for m in _maps(model, dict(values), scene)))
    for what, array in zip(Maps._fields, exact, strict=True):
        if not np.all(np.isfinite(array)):
            raise InputError(
                f"with these parameters the model's {what} is not finite; look at {farthest_from_default(values)}"
            )

    ratio = signal_to_noise(exact.brightness)
    labels, binned_ratio = None, ratio
    if bins:
        labels = voronoi_bins(ratio, good, _BIN_RATIO)
        exact = average_in_bins(exact, labels)
        inside = labels >= 0
        total = np.sqrt(np.bincount(labels[inside], ratio[inside] ** 2))
        binned_ratio = ratio.copy()
        binned_ratio[inside] = total[labels[inside]]
    scale = noise if noise > 0 else 1.0
    sizes = _errors_by_light(exact, ratio, binned_ratio) if errors is None else errors
    errors = Maps(*(np.broadcast_to(scale * size, good.shape).copy() for size in sizes))
    width = correlation / canvas.pixel_scale
    drawn = [deviates(random, canvas.size, width) for _ in exact]
    if labels is not None:
        drawn[1:3] = [shared(field, labels, width) for field in drawn[1:3]]
    values_seen = exact
    if noise > 0:
        values_seen = Maps(*(m + e * d for m, e, d in zip(exact, errors, drawn, strict=True)))
    return Observation(
        name=name,
        redshift=redshift,
        pixel_scale=canvas.pixel_scale,
        psf_photometry=psf_photometry,
        psf_kinematics=psf_kinematics,
        values=values_seen,
        errors=errors,
        good=Maps(*(good.copy() for _ in exact)),
        bins=labels,
        correlation=correlation,
        truth={key: float(value) for key, value in values.items()},
    )


def _check_given(values: Any, model: Any) -> None:
    """Raises InputError unless `values` are numbers, all that a galaxy model needs, and such as it is made for."""
    if not isinstance(values, Mapping):
        raise InputError(f"the parameters are {values!r}; name -> value is needed, as in MOCK_TRUTH")
    for name, value in values.items():
        if math.isnan(number(value)):
            raise InputError(f"{name} = {value!r}; a number is needed")
    if isinstance(model, GalaxyModel):
        for name in values:
            if name not in KNOWN:
                raise InputError(unknown_name(name, list(KNOWN), "parameter"))
        missing = [name for name in default_parameters(model.components).names if name not in values]
        if missing:
            raise InputError(f"a model of {', '.join(model.components)} needs {', '.join(missing)} as well")
    check_values(values)


@partial(jax.jit, static_argnums=0)
def _maps(model: GalaxyModel, values: Values, scene: Scene) -> Maps:
    """Compiled once for equal models."""
    return model(values, scene).maps


def _errors_by_light(exact: Maps, ratio: np.ndarray, binned_ratio: np.ndarray) -> Maps:
    """Errors at `noise` = 1, from the signal-to-noise ratios of spaxels and of bins."""
    ratio, binned_ratio = (np.maximum(r, _LOWEST_RATIO) for r in (ratio, binned_ratio))
    return Maps(
        np.hypot(0.01, 1 / (math.log(10) * ratio)),
        np.hypot(2.0, 65 / binned_ratio),
        np.hypot(3.0, 95 / binned_ratio),
        exact.ml * np.hypot(0.05, 0.6 / ratio),
    )


def footprint(fibres: int, size: int, pixel_scale: float) -> np.ndarray:
    """(size, size) bool: pixels whose centre lies in the hexagon of a bundle in the middle of the canvas.

    The hexagon has corners to the left and right, half a fibre pitch beyond the outermost fibres' centres (corner to
    corner 12.5 arcsec for 19 fibres, 32.5 for 127).

    Raises:
        InputError: no such bundle.
    """
    if fibres == 0:
        return np.ones((size, size), dtype=bool)
    if fibres not in BUNDLES:
        raise InputError(f"fibres is {fibres}; {', '.join(map(str, BUNDLES))} or 0 (whole canvas) is needed")
    corner = (BUNDLES[fibres] + 0.5) * FIBRE_PITCH
    y, x = np.abs((np.indices((size, size)) - (size - 1) / 2) * pixel_scale)
    half_height = corner * math.sqrt(3) / 2
    return (y <= half_height) & (x + y / math.sqrt(3) <= corner)


def signal_to_noise(brightness: np.ndarray) -> np.ndarray:
    """Signal-to-noise ratio of a spaxel from its log10 L_sun/kpc^2, for photons and sky as in a MaNGA cube."""
    photons = _PHOTONS * 10.0 ** (brightness - _PHOTONS_AT)
    return photons / np.sqrt(photons + _SKY)


def mock_galaxy_path() -> Path:
    """Where the bundled mock galaxy lies."""
    return Path(str(importlib.resources.files("galfit_sr_data") / "mock_galaxy.fits"))
