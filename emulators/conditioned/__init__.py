"""Exact where pixels are too coarse, expanded where they are not: conditioned on the parameters, and nothing learnt."""

from __future__ import annotations

from importlib.resources import as_file, files

import jax.numpy as jnp

from galfit_sr.emulation.bundle import load_card
from galfit_sr.emulation.emulator import Emulator
from galfit_sr.maps import Observation
from galfit_sr.model.galaxy import GalaxyModel
from galfit_sr.model.grid import FULL_RESOLUTION, LOW_RESOLUTION, Canvas
from galfit_sr.model.kernel import gaussians
from galfit_sr.model.scene import make_scene
from galfit_sr.psf import PSF, GaussianPSF

from .function import ExactCentre, Optics

WINDOW = 32
"""Pixels along a side of the window in which the model itself is computed: 8 arcsec to each side of the centre."""
SCALE = FULL_RESOLUTION.size // LOW_RESOLUTION.size
# The 68 % quantile of errors in units of the next order's scale, over the pixels of held-out galaxies where either
# exceeds a twentieth of a typical noise (studies/conditioned.py).
ERROR = (1.7, 0.83, 0.98, 0.17)

FUNCTION = ExactCentre(GalaxyModel(canvas=Canvas(WINDOW, FULL_RESOLUTION.pixel_scale)), SCALE)


def load() -> Emulator:
    """The emulator."""
    with as_file(files(__name__)) as folder:
        return Emulator(load_card(folder), FUNCTION, optics)


def optics(observation: Observation) -> Optics:
    """What the function needs to know of an observation's Gaussian point spread functions."""
    canvas, psfs = FUNCTION.centre.canvas, (observation.psf_photometry, observation.psf_kinematics)
    near = make_scene(canvas, observation.redshift, *psfs, fidelity=FUNCTION.centre.fidelity)
    assert near.photometry is not None, "asked for"
    assert near.kinematics is not None, "asked for"
    variances = [_variance(psf, canvas.pixel_scale) / (SCALE * canvas.pixel_scale) ** 2 for psf in psfs]
    dtype = near.origin.dtype
    return Optics(near.photometry, near.kinematics, jnp.asarray(variances, dtype), jnp.asarray(ERROR, dtype))


def _variance(psf: PSF, pixel_scale: float) -> float:
    """Along one axis, that of the square pixel included [arcsec^2]."""
    assert isinstance(psf, GaussianPSF), "the card has refused others"
    fluxes, sigmas = gaussians(psf)
    return float(fluxes @ sigmas**2) + pixel_scale**2 / 12
