"""The observation file: four maps with errors, masks, bins and, for mocks, the truth, in one FITS file.

Primary header: OBJECT, REDSHIFT, PIXSCALE [arcsec], PSFPHOT and PSFKIN [FWHM, arcsec]. Images BRIGHTNESS
(log10 L_sun/kpc^2), VELOCITY, DISPERSION (km/s) and ML (M_sun/L_sun), any of which may be missing, each with NAME_ERR
and optionally NAME_MASK (0 = good). Optional: BINID (image, -1 = no bin), TRUTH (table with the columns name, value).

Beyond these, files written here carry, and the reader understands where they are there:

- ORIGINX, ORIGINY: position of the galaxy's centre in pixels, counted from 0 at the first pixel's centre (default: the
  middle of the canvas); RA, DEC: its sky coordinates [deg]. East is to the left.
- NOISCORR: FWHM [arcsec] of the Gaussian that smoothed the noise between pixels (default: 0, independent noise).
- PSFPTYPE, PSFKTYPE: kind of PSF (gaussian, double-gaussian, moffat, image; default gaussian), with PSFPWIDE (FWHM of
  the wide Gaussian, arcsec), PSFPFRAC (its share of the light), PSFPBETA (of the Moffat profile) and the like for
  PSFK; the images PSFPHOT_IMAGE and PSFKIN_IMAGE. PSFPHOT is then the FWHM of the core.
- PHOTOMETRY: table like TRUTH, what the survey says about the galaxy.
- HISTORY cards that start with "Note: ", continued by cards that start with "... ".
"""

from __future__ import annotations

import gzip
import io
import math
import os
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from astropy.io import fits

from ..errors import InputError
from ..files import write_bytes
from ..maps import MAP_NAMES, MAP_UNITS, Maps, Observation
from ..psf import PSF, DoubleGaussianPSF, GaussianPSF, ImagePSF, MoffatPSF
from .fits_input import FitsFile, check_ranges, load

EXTENSIONS = tuple(name.upper() for name in MAP_NAMES)
_PSFS = (("PSFPHOT", "PSFP", "light"), ("PSFKIN", "PSFK", "kinematics"))


def read_observation(path: str | os.PathLike[str]) -> Observation:
    """Read an observation file, ours or anybody's in the layout of `galfit_sr.observations.files`.

    Without NAME_MASK, the pixels whose value is not a number are the masked ones. Pixels of a map that is missing hold
    NaN. A bin counts where all of its pixels are good.

    Args:
        path: of the file, plain or gzipped.

    Raises:
        InputError: the file cannot be read, lacks something, contradicts itself, holds numbers that no galaxy has, or
            has no good pixel.
    """
    return stored_observation(load(path))


def stored_observation(file: FitsFile) -> Observation:
    """As `read_observation`, from an opened file."""
    present = [name for name in EXTENSIONS if name in file]
    if not present:
        raise InputError(f"{file.path} is no observation file: none of the images {', '.join(EXTENSIONS)} is there")
    file.require([f"{name}_ERR" for name in present], "observation file")
    shape = file.image(present[0]).shape
    if len(shape) != 2 or shape[0] != shape[1]:
        raise InputError(f"{file.path}: {present[0]} has shape {shape}; a square image is needed")
    bins = file.labels("BINID", file.image("BINID", shape)) if "BINID" in file else None
    values, errors, good = {}, {}, {}
    for name in EXTENSIONS:
        key = name.lower()
        values[key], errors[key], good[key] = _read_map(file, name, shape)
        if bins is not None and name in ("VELOCITY", "DISPERSION"):
            good[key] &= ~np.isin(bins, bins[~good[key] & (bins >= 0)]) & (bins >= 0)
            _check_bins(file.path, name, values[key], errors[key], good[key], bins)
    pixel_scale = file.number("PIXSCALE", "the side of a pixel in arcsec", 1e-3, 1e3)
    middle = (shape[0] - 1) / 2
    origin = [file.optional_number(f"ORIGIN{a}", "a position in pixels", 0, shape[0] - 1) for a in "XY"]
    right_ascension = file.optional_number("RA", "the right ascension in degree", 0, 360)
    declination = file.optional_number("DEC", "the declination in degree", -90, 90)
    photometry, kinematics = (_read_psf(file, *keys) for keys in _PSFS)
    observation = Observation(
        name=file.text("OBJECT") or os.path.basename(file.path),
        redshift=file.number("REDSHIFT", "the redshift", 1e-4, 10),
        pixel_scale=pixel_scale,
        psf_photometry=photometry,
        psf_kinematics=kinematics,
        values=Maps(**values),
        errors=Maps(**errors),
        good=Maps(**good),
        bins=bins,
        correlation=file.optional_number("NOISCORR", "the FWHM in arcsec of the noise's correlation", 0, 100) or 0.0,
        origin=(middle if origin[0] is None else origin[0], middle if origin[1] is None else origin[1]),
        sky=None if right_ascension is None or declination is None else (right_ascension, declination),
        notes=_read_notes(file),
        truth=file.pairs("TRUTH"),
        photometry=file.pairs("PHOTOMETRY"),
    )
    return check_ranges(observation)


def write_observation(path: str | os.PathLike[str], observation: Observation) -> None:
    """Write an observation file; reading it gives the same observation back, number for number.

    The file appears complete or not at all, and replaces one of the same name. A name that ends in .gz is compressed.
    Notes and the object's name are stored in ASCII, with single blanks.

    Args:
        path: of the file.
        observation: what to write.

    Raises:
        InputError: it is no observation, or cannot be written there.
    """
    if not isinstance(observation, Observation) or not isinstance(path, str | os.PathLike):
        given = f"{type(path).__name__} and {type(observation).__name__}"
        raise InputError(f"a path and an observation are needed, in this order; given are {given}")
    primary = fits.PrimaryHDU()
    primary.header["OBJECT"] = _ascii(observation.name)
    _exact(primary.header, "REDSHIFT", observation.redshift, "redshift")
    _exact(primary.header, "PIXSCALE", observation.pixel_scale, "arcsec per pixel")
    extra: list[fits.hdu.base.ExtensionHDU] = []
    for psf, (key, prefix, what) in zip((observation.psf_photometry, observation.psf_kinematics), _PSFS, strict=True):
        extra += _write_psf(primary.header, psf, observation.pixel_scale, key, prefix, what)
    origin = _origin(observation)
    for axis, value in zip("XY", origin, strict=True):
        _exact(primary.header, f"ORIGIN{axis}", value, "galaxy centre, pixels from 0")
    if observation.correlation > 0:
        _exact(primary.header, "NOISCORR", observation.correlation, "arcsec, FWHM of what correlates the noise")
    if observation.sky is not None:
        _exact(primary.header, "RA", observation.sky[0], "of the origin, degree")
        _exact(primary.header, "DEC", observation.sky[1], "of the origin, degree")
    for note in observation.notes:
        for card in _note_cards(_ascii(note)):
            primary.header.add_history(card)

    wcs = celestial_header(observation)
    hdus = fits.HDUList([primary])
    for key, value, error, good in zip(
        MAP_NAMES, observation.values, observation.errors, observation.good, strict=True
    ):
        if not np.any(good):
            continue
        name = key.upper()
        for suffix, array in (("", value), ("_ERR", error), ("_MASK", (~good).astype(np.uint8))):
            hdu = fits.ImageHDU(array, header=wcs, name=name + suffix)
            if suffix != "_MASK":
                hdu.header["BUNIT"] = MAP_UNITS[key]
            hdus.append(hdu)
    if observation.bins is not None:
        hdus.append(fits.ImageHDU(observation.bins.astype(np.int32), header=wcs, name="BINID"))
    hdus.extend(extra)
    for name, pairs in (("TRUTH", observation.truth), ("PHOTOMETRY", observation.photometry)):
        if pairs:
            hdus.append(_table(name, pairs))
    stream = io.BytesIO()
    hdus.writeto(stream)
    content = stream.getvalue()
    target = Path(path)
    write_bytes(target, gzip.compress(content, mtime=0) if target.suffix == ".gz" else content)


def celestial_header(observation: Observation) -> fits.Header:
    """World coordinates of the canvas: on the sky where the origin's place is known, else offsets from it in arcsec."""
    x, y = _origin(observation)
    header = fits.Header()
    scale = observation.pixel_scale / (3600 if observation.sky is not None else 1)
    axes = ("RA---TAN", "DEC--TAN") if observation.sky is not None else ("XOFFSET", "YOFFSET")
    sky = observation.sky if observation.sky is not None else (0.0, 0.0)
    for axis, kind, pixel, value, step in zip((1, 2), axes, (x, y), sky, (-scale, scale), strict=True):
        header[f"CTYPE{axis}"] = kind
        header[f"CUNIT{axis}"] = "deg" if observation.sky is not None else "arcsec"
        header[f"CRPIX{axis}"] = pixel + 1
        header[f"CRVAL{axis}"] = value
        header[f"CDELT{axis}"] = step
    if observation.sky is not None:
        header["RADESYS"] = "ICRS"
    return header


def _origin(observation: Observation) -> tuple[float, float]:
    assert observation.origin is not None  # set by Observation itself
    return observation.origin


def _read_map(file: FitsFile, name: str, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    if name not in file:
        return np.full(shape, np.nan), np.full(shape, np.nan), np.zeros(shape, dtype=bool)
    value, error = file.image(name, shape), file.image(f"{name}_ERR", shape)
    mask = file.image(f"{name}_MASK", shape) if f"{name}_MASK" in file else np.isnan(value)
    return value, error, mask == 0


def _check_bins(path: str, name: str, value: np.ndarray, error: np.ndarray, good: np.ndarray, bins: np.ndarray) -> None:
    labels, first, inverse = np.unique(bins[good], return_index=True, return_inverse=True)
    for what, array in ((name, value), (f"{name}_ERR", error)):
        differs = array[good] != array[good][first][inverse]
        # NaN differs from itself; Observation has the better sentence for it.
        if np.any(differs & np.isfinite(array[good])):
            raise InputError(
                f"{path}: {what} differs between pixels of bin {labels[inverse[differs][0]]} of BINID;"
                " one value per bin is needed"
            )


def _read_psf(file: FitsFile, key: str, prefix: str, what: str) -> PSF:
    fwhm = file.number(key, f"the FWHM of the PSF of the {what} in arcsec", 1e-3, 100)
    kind = (file.text(f"{prefix}TYPE") or "gaussian").lower()
    if kind == "gaussian":
        return GaussianPSF(fwhm)
    if kind == "double-gaussian":
        wide = file.number(f"{prefix}WIDE", "the FWHM of the wide Gaussian in arcsec", 1e-3, 100)
        return DoubleGaussianPSF(fwhm, wide, file.number(f"{prefix}FRAC", "its share of the light", 0, 1))
    if kind == "moffat":
        return MoffatPSF(fwhm, file.number(f"{prefix}BETA", "beta of the Moffat profile", 1, 1e3))
    if kind == "image":
        image = file.image(f"{key}_IMAGE")
        return ImagePSF(tuple(map(tuple, image.tolist())))
    raise InputError(
        f"{file.path}: header card {prefix}TYPE is {kind!r}; gaussian, double-gaussian, moffat or image is needed"
    )


def _write_psf(
    header: fits.Header, psf: PSF, pixel_scale: float, key: str, prefix: str, what: str
) -> list[fits.hdu.base.ExtensionHDU]:
    """Put the cards into the header; returns the extension that an image needs."""
    kind = {GaussianPSF: "gaussian", DoubleGaussianPSF: "double-gaussian", MoffatPSF: "moffat", ImagePSF: "image"}
    if isinstance(psf, ImagePSF):
        image = np.array(psf.image)
        area = np.sum(image >= image.max() / 2) * pixel_scale**2
        fwhm = 2 * math.sqrt(area / math.pi)
    else:
        fwhm = psf.fwhm
    _exact(header, key, fwhm, f"arcsec, FWHM of the PSF of the {what}")
    header[f"{prefix}TYPE"] = kind[type(psf)]
    if isinstance(psf, DoubleGaussianPSF):
        _exact(header, f"{prefix}WIDE", psf.fwhm_wide, "arcsec, FWHM of the wide Gaussian")
        _exact(header, f"{prefix}FRAC", psf.wide_fraction, "its share of the light")
    if isinstance(psf, MoffatPSF):
        _exact(header, f"{prefix}BETA", psf.beta, "exponent of the Moffat profile")
    return [fits.ImageHDU(image, name=f"{key}_IMAGE")] if isinstance(psf, ImagePSF) else []


def _table(name: str, pairs: Mapping[str, float]) -> fits.BinTableHDU:
    width = max(len(key) for key in pairs)
    columns = [
        fits.Column("name", format=f"{width}A", array=np.array(list(pairs), dtype=f"S{width}")),
        fits.Column("value", format="D", array=np.array(list(pairs.values()), dtype=np.float64)),
    ]
    return fits.BinTableHDU.from_columns(columns, name=name)


def _read_notes(file: FitsFile) -> tuple[str, ...]:
    notes: list[str] = []
    for card in file.history():
        if card.startswith("Note: "):
            notes.append(card[6:])
        elif card.startswith("... ") and notes:
            notes[-1] += card[4:]
    return tuple(notes)


def _note_cards(note: str) -> list[str]:
    """Pieces of at most 72 characters that end in no blank (FITS drops those), broken between words where possible."""
    pieces = re.findall(r".{0,64}\S(?=\s|$)|.{0,64}\S", note)
    return [("Note: " if i == 0 else "... ") + piece for i, piece in enumerate(pieces)]


def _ascii(text: str) -> str:
    return " ".join(text.split()).encode("ascii", "backslashreplace").decode("ascii")


def _exact(header: fits.Header, key: str, value: float, comment: str) -> None:
    """Append a card that holds all digits of a number; astropy's own cards cut off after 20 characters."""
    digits = repr(float(value)).upper()
    header.append(fits.Card.fromstring(f"{key:<8}= {digits:>20} / {comment}"))
