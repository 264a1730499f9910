"""Reader for the MAPS files of the MaNGA Data Analysis Pipeline (DAP; Westfall et al. 2019, AJ 158, 231)."""

from __future__ import annotations

import dataclasses
import os

import numpy as np

from ..errors import InputError
from ..maps import Maps, Observation
from ..psf import GaussianPSF
from .fits_input import FitsFile, check_ranges, load
from .light import SPEED_OF_LIGHT, log10_error, log10_surface_brightness
from .masses import mass_to_light
from .quality import LIGHT_MASK, mask_notes, quality_notes
from .region import Region, apply_region
from .rotation import rotation_notes

SPAXEL = 0.5
"""Side of a MaNGA spaxel [arcsec]."""
EXTENSIONS = (
    "SPX_SKYCOO",
    "SPX_MFLUX",
    "SPX_MFLUX_IVAR",
    "BINID",
    "STELLAR_VEL",
    "STELLAR_VEL_IVAR",
    "STELLAR_VEL_MASK",
    "STELLAR_SIGMA",
    "STELLAR_SIGMA_IVAR",
    "STELLAR_SIGMA_MASK",
    "STELLAR_SIGMACORR",
)
"""Extensions of a MAPS file that are read."""

NOISE_CORRELATION = 1.6
"""FWHM [arcsec] of what smoothed the noise of the cubes. Spaxels are correlated like exp(-d^2 / (2 sigma_rho^2)) with
sigma_rho = 1.92 spaxels (Westfall et al. 2019, AJ 158, 231; Law et al. 2016, AJ 152, 83): a Gaussian of standard
deviation sigma_rho / sqrt(2) does that."""
SUSPICIOUS_DISPERSION = 400.0
"""Dispersions above this [km/s] are reported: hardly any galaxy has them, but noisy outer bins do."""


def read_manga(
    path: str | os.PathLike[str],
    *,
    region: Region | None = None,
    canvas: int = 80,
    brightness_floor: float = 0.02,
    brightness_snr: float = 3.0,
    masses: str | os.PathLike[str] | None = None,
) -> Observation:
    """Read light and stellar kinematics from a DAP MAPS file (DR15 to DR17, HYB10 or VOR10 binning).

    Kinematics: a spaxel is good where its mask is 0, its inverse variance positive and its BINID not negative;
    dispersion has its own mask. Bins are those of BINID channel 1 (stellar continuum). The instrumental correction is
    taken off in squares, sigma^2 = STELLAR_SIGMA^2 - STELLAR_SIGMACORR^2, and the error grows with it,
    d sigma = STELLAR_SIGMA / sigma d STELLAR_SIGMA; bins that turn imaginary have no dispersion.

    Light: SPX_MFLUX, by `light.log10_surface_brightness`. It has no mask of its own: a spaxel counts where the DAP
    binned it (which leaves out low coverage and foreground stars), where STELLAR_VEL_MASK has no coverage or star bit
    set, and where the flux is positive at `brightness_snr` or more.

    The PSF of the light is Gaussian with the header's GFWHM, that of the kinematics with RFWHM: the stellar fit spans
    3600 to 7400 angstrom, and the r band's value lies within 3 % of that of any wavelength there.

    Mass-to-light ratio: that of the stellar masses in another file over this light, by `masses.mass_to_light`; without
    one, there is none.

    Not good pixels hold NaN where nothing was measured.

    Args:
        path: of the file, plain or gzipped.
        region: additional pixels to leave out, see `region.apply_region`.
        canvas: side of the square canvas [pixels] that the image is centred on.
        brightness_floor: error added in quadrature to that of the log10 brightness [dex]. The formal errors reach
            0.008 dex; flux calibration across the field, colour gradients and PSF mismatch are not better than about
            5 % (0.02 dex), nor is any model of two discs and a bulge.
        brightness_snr: light with a lower signal-to-noise ratio per spaxel is left out: a logarithm has no symmetric
            error there (at 3 its bias is a sixth of its error).
        masses: path of a FITS file with the images MASS (log10 of the stellar mass per kpc^2 or per spaxel, as its
            BUNIT says), MASS_ERR (dex) and optionally MASS_MASK (0 = good) on the spaxels of the MAPS file; `masses`
            documents it.

    Raises:
        InputError: a file cannot be read, lacks something, contradicts itself, holds numbers that no galaxy has, or
            has no good pixel.
    """
    return manga_observation(
        load(path),
        region=region,
        canvas=canvas,
        brightness_floor=brightness_floor,
        brightness_snr=brightness_snr,
        masses=masses,
    )


def manga_observation(
    file: FitsFile,
    *,
    region: Region | None = None,
    canvas: int = 80,
    brightness_floor: float = 0.02,
    brightness_snr: float = 3.0,
    masses: str | os.PathLike[str] | None = None,
) -> Observation:
    """As `read_manga`, from an opened file."""
    file.require(EXTENSIONS, "MaNGA MAPS file")
    notes = [
        f"{name} does not match its checksum: the file was damaged or edited after the pipeline wrote it."
        for name in file.damaged(EXTENSIONS)
    ]
    flux = file.image("SPX_MFLUX")
    if flux.ndim != 2:
        raise InputError(f"{file.path}: SPX_MFLUX has {flux.ndim} axes; 2 are needed")
    shape = flux.shape
    if max(shape) > canvas:
        raise InputError(f"{file.path}: the image is {shape[1]}x{shape[0]} spaxels; at most {canvas}x{canvas} fit")
    redshift = file.number("SCINPVEL", "the redshift as cz in km/s", 30.0, 3e5) / SPEED_OF_LIGHT
    psf_photometry = GaussianPSF(file.number("GFWHM", "the g-band PSF's FWHM in arcsec", 0.1, 20.0))
    psf_kinematics = GaussianPSF(file.number("RFWHM", "the r-band PSF's FWHM in arcsec", 0.1, 20.0))
    east, north = _plane(file, "SPX_SKYCOO", shape, 0), _plane(file, "SPX_SKYCOO", shape, 1)
    origin = _origin(file.path, east, north)

    bins = file.labels("BINID", _plane(file, "BINID", shape, 1))
    masks = {name: _mask(file, name, shape) for name in ("STELLAR_VEL_MASK", "STELLAR_SIGMA_MASK")}
    notes += quality_notes(file)
    notes += mask_notes(masks["STELLAR_VEL_MASK"], bins >= 0)

    velocity = _kinematic_map(file, "STELLAR_VEL", masks["STELLAR_VEL_MASK"], bins, notes)
    observed = _kinematic_map(file, "STELLAR_SIGMA", masks["STELLAR_SIGMA_MASK"], bins, notes)
    correction = _plane(file, "STELLAR_SIGMACORR", shape, 0)
    dispersion = _corrected(file.path, observed, correction, bins, notes)
    for name, usable in (("velocity", velocity[2]), ("dispersion", dispersion[2])):
        if not np.any(usable):
            raise InputError(f"{file.path}: no spaxel has a good {name}; all are masked or have no error")

    covered = (bins >= 0) & (masks["STELLAR_VEL_MASK"] & LIGHT_MASK == 0)
    reddening = file.optional_number("EBVGAL", "the Galactic reddening E(B-V)", 0.0, 10.0)
    if reddening is None:
        notes.append("The header has no EBVGAL; the brightness is not corrected for Galactic extinction.")
    brightness = _brightness(file, flux, covered, brightness_snr, brightness_floor, redshift, reddening or 0.0)
    if not np.any(brightness[2]):
        raise InputError(f"{file.path}: no spaxel has light with a signal-to-noise ratio of {brightness_snr:g} or more")

    ml: _Map = (np.full(shape, np.nan), np.full(shape, np.nan), np.zeros(shape, dtype=bool))
    if masses is not None:
        ml, mass_notes = mass_to_light(load(masses), brightness, pixel_scale=SPAXEL, redshift=redshift)
        notes += mass_notes

    photometry = _photometry(file)
    row, column = (canvas - shape[0]) // 2, (canvas - shape[1]) // 2

    def place(array: np.ndarray, fill: float | bool) -> np.ndarray:
        full = np.full((canvas, canvas), fill, dtype=array.dtype)
        full[row : row + shape[0], column : column + shape[1]] = array
        return full

    maps = (brightness, velocity, dispersion, ml)
    observation = Observation(
        name=f"manga-{file.text('PLATEIFU') or os.path.basename(file.path)}",
        redshift=redshift,
        pixel_scale=SPAXEL,
        psf_photometry=psf_photometry,
        psf_kinematics=psf_kinematics,
        values=Maps(*(place(value, np.nan) for value, _, _ in maps)),
        errors=Maps(*(place(error, np.nan) for _, error, _ in maps)),
        good=Maps(*(place(good, False) for _, _, good in maps)),
        bins=place(bins, -1),
        correlation=NOISE_CORRELATION,
        origin=(origin[0] + column, origin[1] + row),
        sky=_sky(file),
        notes=tuple(notes),
        photometry=photometry,
    )
    check_ranges(observation)
    rotation = rotation_notes(east, north, *velocity, bins, photometry)
    observation = dataclasses.replace(observation, notes=observation.notes + rotation)
    return apply_region(observation, region, inner=(row, column, *shape))


_Map = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Values, errors and good, each (ny, nx)."""


def _plane(file: FitsFile, name: str, shape: tuple[int, ...], channel: int) -> np.ndarray:
    """One channel of a cube; an image without channels stands for any (older releases store some maps plainly)."""
    array = file.image(name)
    plain = array.ndim == 2 and name != "SPX_SKYCOO"
    if array.ndim == 3 and array.shape[0] > channel:
        array = array[channel]
    elif not plain:
        raise InputError(f"{file.path}: {name} has shape {array.shape}; channels of {shape} are needed")
    if array.shape != shape:
        raise InputError(f"{file.path}: {name} has maps of shape {array.shape}; {shape} is needed, as in SPX_MFLUX")
    return array


def _mask(file: FitsFile, name: str, shape: tuple[int, ...]) -> np.ndarray:
    mask = file.image(name, shape)
    if not np.all((mask >= -(2**31)) & (mask < 2**32)):
        raise InputError(f"{file.path}: {name} holds numbers that are no bit masks")
    return mask.astype(np.int64)


def _origin(path: str, east: np.ndarray, north: np.ndarray) -> tuple[float, float]:
    """(x, y) in pixels of the catalogue position, which SPX_SKYCOO counts from."""
    rows, columns = np.indices(east.shape)
    if np.all(np.isfinite(east)) and np.all(np.isfinite(north)):
        x, y = float(np.mean(columns + east / SPAXEL)), float(np.mean(rows - north / SPAXEL))
        off = max(np.abs(east + SPAXEL * (columns - x)).max(), np.abs(north - SPAXEL * (rows - y)).max())
        if off < 0.1 * SPAXEL and 0 <= x <= east.shape[1] - 1 and 0 <= y <= east.shape[0] - 1:
            return x, y
    raise InputError(
        f"{path}: SPX_SKYCOO is not a grid of {SPAXEL} arcsec, east to the left and north up, around the galaxy"
    )


def _kinematic_map(file: FitsFile, name: str, mask: np.ndarray, bins: np.ndarray, notes: list[str]) -> _Map:
    value, ivar = file.image(name, bins.shape), file.image(f"{name}_IVAR", bins.shape)
    unmasked = (mask == 0) & (bins >= 0)
    bad = unmasked & ~((ivar >= 0) & np.isfinite(ivar) & np.isfinite(value))
    if np.any(bad):
        y, x = np.argwhere(bad)[0]
        raise InputError(
            f"{file.path}: {name} is {value[y, x]} with inverse variance {ivar[y, x]} in the unmasked spaxel at row"
            f" {y}, column {x}; a finite value and a positive inverse variance are needed"
        )
    without_error = int(np.sum(unmasked & (ivar == 0)))
    if without_error:
        notes.append(f"{without_error} unmasked spaxels of {name} have no error (inverse variance 0) and are left out.")
    good = unmasked & (ivar > 0)
    # A bin is one spectrum: it counts whole or not at all.
    good &= ~np.isin(bins, bins[~good & (bins >= 0)])
    for what, array in ((name, value), (f"{name}_IVAR", ivar)):
        labels, first, inverse = np.unique(bins[good], return_index=True, return_inverse=True)
        differs = array[good] != array[good][first][inverse]
        if np.any(differs):
            raise InputError(
                f"{file.path}: {what} differs between spaxels of bin {labels[inverse[differs][0]]};"
                " one value per bin of BINID channel 1 is needed"
            )
    error = np.full(value.shape, np.nan)
    error[good] = 1 / np.sqrt(ivar[good])
    return np.where(good, value, np.nan), error, good


def _corrected(path: str, observed: _Map, correction: np.ndarray, bins: np.ndarray, notes: list[str]) -> _Map:
    """Dispersion without the instrument's share."""
    value, error, good = observed
    if not np.all(np.isfinite(correction[good])):
        raise InputError(f"{path}: STELLAR_SIGMACORR is not finite in unmasked spaxels")
    if np.any(good) and not np.any(correction[good]):
        notes.append(
            "STELLAR_SIGMACORR is zero everywhere (not stored); the dispersion still contains instrumental broadening."
        )
    square = value**2 - correction**2
    real = good & (square > 0)
    bad_bins = bins[good & ~real]
    real &= ~np.isin(bins, bad_bins)
    if bad_bins.size:
        notes.append(
            f"{np.unique(bad_bins).size} of {np.unique(bins[good]).size} bins have no dispersion: it is smaller than"
            " the instrumental correction."
        )
    result = np.full(value.shape, np.nan)
    result[real] = np.sqrt(square[real])
    large = np.unique(bins[real & (np.nan_to_num(result) > SUSPICIOUS_DISPERSION)]).size
    if large:
        notes.append(
            f"{large} bins have dispersions above {SUSPICIOUS_DISPERSION:g} km/s, which may be failed fits that are not"
            " masked; a Student-t likelihood or a region mask guards against them."
        )
    return result, np.where(real, value * error / result, np.nan), real


def _brightness(
    file: FitsFile,
    flux: np.ndarray,
    covered: np.ndarray,
    snr: float,
    floor: float,
    redshift: float,
    reddening: float,
) -> _Map:
    ivar = file.image("SPX_MFLUX_IVAR", flux.shape)
    bad = covered & ~(np.isfinite(flux) & np.isfinite(ivar) & (ivar >= 0))
    if np.any(bad):
        y, x = np.argwhere(bad)[0]
        raise InputError(
            f"{file.path}: SPX_MFLUX is {flux[y, x]} with inverse variance {ivar[y, x]} in the binned spaxel at row"
            f" {y}, column {x}; a finite value and a positive inverse variance are needed"
        )
    ratio = np.where(covered, flux, 0.0) * np.sqrt(np.where(covered, ivar, 0.0))
    good = ratio >= max(snr, 1e-3)
    value, error = np.full(flux.shape, np.nan), np.full(flux.shape, np.nan)
    value[good] = log10_surface_brightness(flux[good], area=SPAXEL**2, redshift=redshift, reddening=reddening)
    error[good] = log10_error(ratio[good], floor)
    return value, error, good


def _photometry(file: FitsFile) -> dict[str, float]:
    """What the survey's catalogue says, as far as it is there and makes sense."""
    limits = {"reff_arcsec": ("REFF", 0, 1e3), "pa_deg": ("ECOOPA", -360, 360), "ellipticity": ("ECOOELL", 0, 1)}
    found = {}
    for name, (key, low, high) in limits.items():
        value = file.value(key)
        if isinstance(value, int | float) and low <= value <= high:
            found[name] = float(value)
    return found


def _sky(file: FitsFile) -> tuple[float, float] | None:
    right_ascension = file.optional_number("OBJRA", "the right ascension in degree", 0, 360)
    declination = file.optional_number("OBJDEC", "the declination in degree", -90, 90)
    return None if right_ascension is None or declination is None else (right_ascension, declination)
