"""Exact where pixels are too coarse, expanded where they are not: conditioned on the parameters."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any

import jax.numpy as jnp

from galfit_sr.emulation.bundle import load_packaged
from galfit_sr.emulation.emulator import Emulator
from galfit_sr.maps import Observation
from galfit_sr.model.galaxy import GalaxyModel
from galfit_sr.model.grid import FULL_RESOLUTION, LOW_RESOLUTION, Canvas
from galfit_sr.model.kernel import gaussians
from galfit_sr.model.scene import make_scene
from galfit_sr.psf import IMAGING, PSF, SPECTROSCOPY, GaussianPSF

from .function import ExactCentre, Optics

WINDOW = 32
"""Pixels along a side of the window in which the model itself is computed: 8 arcsec to each side of the centre."""
SCALE = FULL_RESOLUTION.size // LOW_RESOLUTION.size
MORE_FACTS = 2
"""What its error is told beside the galaxy: `Optics.growth`."""
FUNCTION = ExactCentre(GalaxyModel(canvas=Canvas(WINDOW, FULL_RESOLUTION.pixel_scale)), SCALE)


def load() -> Emulator:
    """The emulator."""
    bundle = load_packaged(__name__, FUNCTION, more_facts=MORE_FACTS)
    return dataclasses.replace(bundle, function=FUNCTION, weights=partial(optics, bundle.weights.error))


def optics(error: Any, observation: Observation) -> Optics:
    """What the function needs to know of an observation's Gaussian point spread functions.

    Args:
        error: `Weights.error` of the bundle.
        observation: whose point spread functions they are.
    """
    canvas, psfs = FUNCTION.centre.canvas, (observation.psf_photometry, observation.psf_kinematics)
    near = make_scene(canvas, observation.redshift, *psfs, fidelity=FUNCTION.centre.fidelity)
    assert near.photometry is not None, "asked for"
    assert near.kinematics is not None, "asked for"
    variances, default = (
        jnp.asarray([_variance(psf, canvas.pixel_scale) for psf in both], near.origin.dtype)
        for both in (psfs, (IMAGING, SPECTROSCOPY))
    )
    return Optics(
        near.photometry,
        near.kinematics,
        variances / (SCALE * canvas.pixel_scale) ** 2,
        jnp.log(variances / default),
        error,
    )


def _variance(psf: PSF, pixel_scale: float) -> float:
    """Along one axis, that of the square pixel included [arcsec^2]."""
    assert isinstance(psf, GaussianPSF), "the card has refused others"
    fluxes, sigmas = gaussians(psf)
    return float(fluxes @ sigmas**2) + pixel_scale**2 / 12
