"""Stellar masses from elsewhere (Pipe3D, Firefly, ...): the mass-to-light map that a MaNGA MAPS file does not have.

The mass file is FITS, with the images MASS (log10 of the stellar mass), MASS_ERR (one standard deviation, dex) and
optionally MASS_MASK (0 = good), spaxel by spaxel those of the MAPS file. BUNIT of MASS says what the mass is per, in
any spelling that astropy.units understands:

- per area, "dex(solMass / kpc2)", "dex(Msun pc-2)", ...: a proper surface density;
- per spaxel, "dex(solMass / pix)", "dex(Msun / spaxel)", ...; spaxel^2 means the same, so that Pipe3D's spellings
  "log10(Msun/spaxels^2)" and "log10(m_Sun/spaxels^2)" are understood.

log10(...) and log(...) stand for dex(...). A unit without one of the three is refused: it would be a mass, not its
logarithm.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
import warnings

import numpy as np
from astropy import units
from astropy.io import fits

from ..errors import InputError
from ..model.scene import kpc_per_arcsec
from .fits_input import FitsFile

_ALIASES = {"spaxel": units.pix, "spaxels": units.pix, "m_Sun": units.Msun}
_DENSITY = units.Msun / units.kpc**2
_RANGE = (-20.0, 20.0)
_Map = tuple[np.ndarray, np.ndarray, np.ndarray]


def mass_to_light(file: FitsFile, light: _Map, *, pixel_scale: float, redshift: float) -> tuple[_Map, tuple[str, ...]]:
    """Mass surface density over luminosity surface density.

    The luminosity of `light` is as emitted (no dimming, no dust of the Milky Way), so a mass needs neither correction;
    a mass per spaxel is divided by the spaxel's proper area at the redshift. With independent errors in dex,
    sigma(M/L) = M/L ln(10) hypot(MASS_ERR, error of the light). Without MASS_MASK, the spaxels whose mass is not a
    number are the masked ones. Every spaxel counts by itself: masses that were measured in bins are correlated, which
    these errors do not know.

    Args:
        file: the mass file.
        light: values and errors (log10 of L_sun/kpc^2, dex) and good, each (ny, nx).
        pixel_scale: arcsec per spaxel.
        redshift: of the galaxy.

    Returns:
        (values, errors, good), each (ny, nx), in M_sun/L_sun and NaN where not good, and sentences for the notes.

    Raises:
        InputError: an image is missing or of another shape, BUNIT is missing or says something else, no mass has a
            positive error, a mass is none that a galaxy can have, or no spaxel has both mass and light.
    """
    file.require(("MASS", "MASS_ERR"), "mass file")
    brightness, brightness_error, bright = light
    mass = file.image("MASS")
    if mass.shape != bright.shape:
        raise InputError(f"{file.path}: MASS has shape {mass.shape}; {bright.shape} is needed, as in the MAPS file")
    error = file.image("MASS_ERR", bright.shape)
    unmasked = (file.image("MASS_MASK", bright.shape) if "MASS_MASK" in file else np.isnan(mass)) == 0
    mass = mass + math.log10(_per_square_kpc(file, (pixel_scale * kpc_per_arcsec(redshift)) ** 2))

    certain = np.isfinite(error) & (error > 0)
    if np.any(unmasked) and not np.any(unmasked & certain):
        raise InputError(
            f"{file.path}: MASS_ERR is {error[unmasked][0]:g} in the first unmasked spaxel and positive in none;"
            " errors in dex, finite and above 0, are needed"
        )
    usable = unmasked & certain & np.isfinite(mass)
    absurd = usable & ~((mass >= _RANGE[0]) & (mass <= _RANGE[1]))
    if np.any(absurd):
        y, x = np.argwhere(absurd)[0]
        raise InputError(
            f"{file.path}: MASS amounts to {mass[y, x]:g} at row {y}, column {x}, as log10 of M_sun/kpc^2;"
            f" from {_RANGE[0]:g} to {_RANGE[1]:g} is allowed where the mask is 0"
        )
    good = usable & bright
    if not np.any(good):
        raise InputError(
            f"{file.path}: none of its {int(usable.sum())} spaxels with a good mass has good light, as"
            f" {int(bright.sum())} spaxels of the MAPS file have; at least one common spaxel is needed"
        )

    ratio, sigma = np.full(mass.shape, np.nan), np.full(mass.shape, np.nan)
    ratio[good] = 10.0 ** (mass[good] - brightness[good])
    sigma[good] = ratio[good] * math.log(10) * np.hypot(error[good], brightness_error[good])
    name = os.path.basename(file.path)
    notes = [f"The mass-to-light ratios of {int(good.sum())} spaxels are masses in {name} over the light."]
    lost = int(np.sum(unmasked & bright & ~usable))
    if lost:
        notes.append(f"{lost} unmasked spaxels of {name} have no finite mass or no positive error and are left out.")
    return (ratio, sigma, good), tuple(notes)


def _per_square_kpc(file: FitsFile, spaxel: float) -> float:
    """M_sun/kpc^2 in the unit that MASS is the logarithm of; `spaxel` is the area of one [kpc^2]."""
    text, unit = None, None
    refused = (fits.VerifyError, ArithmeticError, TypeError, ValueError)
    with warnings.catch_warnings(), units.add_enabled_aliases(_ALIASES), contextlib.suppress(*refused):
        warnings.simplefilter("ignore")
        text = file.extensions["MASS"].header.get("BUNIT")
        unit = units.Unit(re.sub(r"^\s*log(10)?\s*\(", "dex(", str(text), flags=re.IGNORECASE))
    if isinstance(unit, units.DexUnit):
        for per, area in ((_DENSITY, 1.0), (units.Msun / units.pix, spaxel), (units.Msun / units.pix**2, spaxel)):
            if unit.physical_unit.is_equivalent(per) and 0 < unit.physical_unit.scale < math.inf:
                return unit.physical_unit.to(per) / area
    found = "no BUNIT that can be read" if text is None else f"BUNIT {str(text)!r}"
    raise InputError(
        f"{file.path}: MASS has {found}; 'dex(solMass / kpc2)' or, per spaxel, 'dex(solMass / pix)' is needed"
    )
