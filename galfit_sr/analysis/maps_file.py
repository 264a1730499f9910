"""maps.fits: data, model, residual and error of every map, with world coordinates."""

from __future__ import annotations

import io

import numpy as np
from astropy.io import fits

from ..inference.results import Posterior
from ..maps import MAP_NAMES, MAP_UNITS, Observation
from ..observations.files import celestial_header
from .map_figure import residuals


def maps_bytes(observation: Observation, posterior: Posterior) -> bytes:
    """The FITS file.

    For each available map NAME: NAME_DATA, NAME_MODEL (as the data see it), NAME_RESIDUAL (data - model, in the unit of
    the map), NAME_SIGMA (the same in standard deviations) and NAME_ERR, NaN where there are no data; and
    NAME_MODEL_FULL, the model on every pixel. BINID if there are bins. The sky where it is known, else arcsec from the
    origin.
    """
    primary = fits.PrimaryHDU()
    cards = {
        "OBJECT": (observation.name.encode("ascii", "replace").decode(), "galaxy"),
        "REDSHIFT": (observation.redshift, "redshift"),
        "PIXSCALE": (observation.pixel_scale, "arcsec per pixel"),
        "SAMPLER": (posterior.sampler, "what made the posterior"),
        "EMULATOR": (posterior.emulator or "none", "network in the model"),
        "SEED": (posterior.seed, "of the random numbers"),
        "CREATOR": (f"galfit_sr {posterior.version}", "software"),
        "CONVERGD": (posterior.converged, "whether the run ended by itself"),
    }
    for key, card in cards.items():
        primary.header[key] = card
    wcs = celestial_header(observation)
    hdus = fits.HDUList([primary])

    def add(name: str, image: np.ndarray, unit: str) -> None:
        hdu = fits.ImageHDU(np.asarray(image, dtype=np.float32), header=wcs, name=name)
        if unit:
            hdu.header["BUNIT"] = unit
        hdus.append(hdu)

    sigma = residuals(observation, posterior)
    for name in observation.available:
        index = MAP_NAMES.index(name)
        good, unit, title = observation.good[index], MAP_UNITS[name], name.upper()
        data = np.where(good, observation.values[index], np.nan)
        model = np.where(good, posterior.binned_maps[index], np.nan)
        add(f"{title}_DATA", data, unit)
        add(f"{title}_MODEL", model, unit)
        add(f"{title}_RESIDUAL", data - model, unit)
        add(f"{title}_SIGMA", sigma[index], "")
        add(f"{title}_ERR", np.where(good, observation.errors[index], np.nan), unit)
        add(f"{title}_MODEL_FULL", posterior.maps[index], unit)
    if observation.bins is not None:
        hdus.append(fits.ImageHDU(observation.bins.astype(np.int32), header=wcs, name="BINID"))
    stream = io.BytesIO()
    hdus.writeto(stream, checksum=True)
    return stream.getvalue()
