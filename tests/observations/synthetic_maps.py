"""A small MAPS file as the MaNGA Data Analysis Pipeline would write it, made from nothing but a seed."""

import gzip
import io

import numpy as np
from astropy.io import fits

SIDE = 24
CENTRE = (12.2, 11.9)
PA = 60.0
STAR = (slice(3, 6), slice(14, 17))
HEADER = {
    "PLATEIFU": "1234-1901",
    "SCINPVEL": 9000.0,
    "GFWHM": 2.6,
    "RFWHM": 2.5,
    "EBVGAL": 0.05,
    "OBJRA": 150.0,
    "OBJDEC": 2.0,
    "ECOOPA": 58.0,
    "ECOOELL": 0.4,
    "REFF": 4.0,
    "DAPQUAL": 0,
    "DRP3QUAL": 0,
}


def synthetic_maps(seed=0):
    """HDUs of a rotating disc on 24x24 spaxels; bins are single spaxels inside 3 arcsec, pairs along rows outside.

    BINID channel 0 and STELLAR_SIGMACORR channel 1 hold numbers that must not be used.
    """
    random = np.random.default_rng(seed)
    row, column = np.indices((SIDE, SIDE))
    east, north = -0.5 * (column - CENTRE[0]), 0.5 * (row - CENTRE[1])
    radius = np.hypot(east, north)
    covered = radius < 5

    pairs = row * SIDE + column - np.where(radius < 3, 0, column % 2)
    bins = np.full((SIDE, SIDE), -1)
    bins[covered] = np.unique(pairs[covered], return_inverse=True)[1]

    flux = np.where(covered, 1.5 * np.exp(-radius / 2), 0.0)
    flux_ivar = np.where(covered, 1 / (0.002**2 + (0.02**2) * flux), 0.0)
    flux += np.where(covered, random.normal(size=flux.shape) / np.sqrt(np.where(covered, flux_ivar, 1)), 0.0)

    angle = np.radians(PA)
    along = east * np.sin(angle) + north * np.cos(angle)
    across = (east * np.cos(angle) - north * np.sin(angle)) / 0.7
    disc_radius = np.hypot(along, across) + 1e-9
    velocity = 12 + 120 * np.tanh(disc_radius / 1.5) * along / disc_radius
    sigma = 60 + 40 * np.exp(-radius / 3)
    correction = np.full_like(sigma, 30.0)
    error = 3 + radius

    def in_bins(array):
        """The value of a bin's first spaxel in all of its spaxels, 0 outside."""
        result = np.zeros_like(array)
        labels, first = np.unique(bins[covered], return_index=True)
        result[covered] = array[covered][first][bins[covered]]
        assert np.array_equal(labels, np.arange(labels.size))
        return result

    velocity += random.normal(size=velocity.shape) * error
    sigma += random.normal(size=sigma.shape) * error
    mask = np.where(covered, 0, (1 << 30) + (1 << 4)).astype(np.int32)
    images = {
        "SPX_SKYCOO": np.stack([east, north]).astype(np.float32),
        "SPX_MFLUX": flux.astype(np.float32),
        "SPX_MFLUX_IVAR": flux_ivar.astype(np.float32),
        "BINID": np.stack([np.where(covered, 7, -1), bins, bins, bins, bins]).astype(np.int32),
        "STELLAR_VEL": in_bins(velocity).astype(np.float32),
        "STELLAR_VEL_IVAR": in_bins(error**-2).astype(np.float32),
        "STELLAR_VEL_MASK": mask,
        "STELLAR_SIGMA": in_bins(sigma).astype(np.float32),
        "STELLAR_SIGMA_IVAR": in_bins(error**-2).astype(np.float32),
        "STELLAR_SIGMA_MASK": mask.copy(),
        "STELLAR_SIGMACORR": np.stack([in_bins(correction), np.full_like(correction, 999.0)]).astype(np.float32),
    }
    primary = fits.PrimaryHDU()
    primary.header.update(HEADER)
    return fits.HDUList([primary, *(fits.ImageHDU(array, name=name) for name, array in images.items())])


def content(hdus):
    """The bytes of a FITS file."""
    stream = io.BytesIO()
    hdus.writeto(stream)
    return stream.getvalue()


def write(path, hdus):
    """Write the HDUs, gzipped if the name says so; returns the path."""
    raw = content(hdus)
    path.write_bytes(gzip.compress(raw, compresslevel=1) if path.suffix == ".gz" else raw)
    return path
