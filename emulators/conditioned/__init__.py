"""Exact where pixels are too coarse, expanded where they are not: conditioned on the parameters."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any

import jax.numpy as jnp

from galfit_sr.emulation.bundle import load_packaged
from galfit_sr.emulation.emulator import Emulator
from galfit_sr.emulation.recipe import Recipe
from galfit_sr.maps import Observation
from galfit_sr.model.galaxy import GalaxyModel
from galfit_sr.model.grid import Canvas
from galfit_sr.model.kernel import gaussians
from galfit_sr.model.scene import make_scene, period
from galfit_sr.psf import IMAGING, PSF, SPECTROSCOPY, GaussianPSF

from .function import ExactCentre, NoNetwork, Optics

WINDOW = 34
"""Pixels along a side of the window in which the model itself is computed: 8 arcsec to each side of the centre, and one
more, since its corner moves in steps of up to three."""
MORE_FACTS = 2
"""What its error is told beside the galaxy: `Optics.growth`."""


def load() -> Emulator:
    """The emulator for razor-thin discs."""
    return packaged(__name__)


def packaged(package: str) -> Emulator:
    """The emulator for the galaxies of the card that lies beside the modules of a package, by the package's name."""
    bundle = load_packaged(package, NoNetwork(), MORE_FACTS)
    function = exact_centre(bundle.card.recipe)
    return dataclasses.replace(bundle, function=function, weights=partial(optics, function, bundle.weights.error))


def exact_centre(recipe: Recipe) -> ExactCentre:
    """The function for a recipe's galaxies."""
    return ExactCentre(GalaxyModel(recipe.components, Canvas(WINDOW, recipe.high.pixel_scale)), recipe.scale)


def optics(function: ExactCentre, error: Any, observation: Observation) -> Optics:
    """What a function needs to know of an observation's Gaussian point spread functions.

    Args:
        function: of the emulator.
        error: `Weights.error` of the bundle.
        observation: whose point spread functions they are.
    """
    canvas, psfs = function.centre.canvas, (observation.psf_photometry, observation.psf_kinematics)
    near = make_scene(canvas, observation.redshift, *psfs, fidelity=function.centre.fidelity)
    variances, default = (
        jnp.asarray([_variance(psf, canvas.pixel_scale) for psf in both], near.origin.dtype)
        for both in (psfs, (IMAGING, SPECTROSCOPY))
    )
    return Optics(
        near,
        jnp.asarray(period(near), near.origin.dtype),
        variances / (function.scale * canvas.pixel_scale) ** 2,
        jnp.log(variances / default),
        error,
    )


def _variance(psf: PSF, pixel_scale: float) -> float:
    """Along one axis, that of the square pixel included [arcsec^2]."""
    assert isinstance(psf, GaussianPSF), "the card has refused others"
    fluxes, sigmas = gaussians(psf)
    return float(fluxes @ sigmas**2) + pixel_scale**2 / 12
