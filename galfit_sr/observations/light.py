"""From a flux per spaxel to a luminosity surface density in the g band."""

from __future__ import annotations

import math

import numpy as np

SOLAR_MAGNITUDE_G = 5.11
"""Absolute AB magnitude of the Sun in SDSS g (Willmer 2018, ApJS 236, 47, table 3)."""
PIVOT_WAVELENGTH_G = 4702.0
"""Pivot wavelength of SDSS g [angstrom] (same table)."""
EXTINCTION_G = 3.303
"""A_g / E(B-V) (Schlafly & Finkbeiner 2011, ApJ 737, 103, table 6, R_V = 3.1)."""
SPEED_OF_LIGHT = 299792.458
"""[km/s]"""


def log10_surface_brightness(flux: np.ndarray, *, area: float, redshift: float, reddening: float) -> np.ndarray:
    """Luminosity surface density seen by an observer without dust, as it was emitted.

    With f_nu = f_lambda lambda_p^2 / c,

        m   = -2.5 log10(f_nu) - 48.60                                (Oke & Gunn 1983)
        mu0 = m + 2.5 log10(area) - A_g - 10 log10(1 + z)             (extinction; (1 + z)^4 surface-brightness dimming)
        log10 Sigma [L_sun/kpc^2] = 0.4 (M_sun + 21.572 - mu0) + 6    (21.572 = 5 log10(206265 / 10))

    No K-correction is applied: the light is that of the observed g band. At z = 0.03 this is a few hundredths of a
    dex, the same everywhere but for colour gradients, and goes into the mass-to-light ratios.

    Args:
        flux: any shape, mean f_lambda in the band per spaxel [1e-17 erg/s/cm^2/angstrom], positive.
        area: of a spaxel [arcsec^2].
        redshift: of the galaxy.
        reddening: E(B-V) of the Milky Way in its direction [mag].

    Returns:
        log10 of L_sun/kpc^2, shape of `flux`.
    """
    speed = SPEED_OF_LIGHT * 1e13  # angstrom/s
    magnitude = -2.5 * np.log10(1e-17 * flux * PIVOT_WAVELENGTH_G**2 / speed) - 48.60
    intrinsic = magnitude + 2.5 * math.log10(area) - EXTINCTION_G * reddening - 10 * math.log10(1 + redshift)
    per_square_parsec = 0.4 * (SOLAR_MAGNITUDE_G + 5 * math.log10(648000 / math.pi / 10) - intrinsic)
    return per_square_parsec + 6


def log10_error(signal_to_noise: np.ndarray, floor: float) -> np.ndarray:
    """Error of a log10 flux [dex]: that of the noise, to first order, and a floor, added in quadrature."""
    return np.hypot(1 / (math.log(10) * signal_to_noise), floor)
