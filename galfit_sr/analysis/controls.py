"""Negative controls of a calibration: fits that are told something wrong, which a calibration must find out."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

from ..emulation.card import Card
from ..emulation.emulator import Emulator, Estimate, Inputs
from ..emulation.recipe import Recipe
from ..inference.problem import full_scene
from ..maps import TYPICAL_NOISE, Maps, Observation
from ..model.galaxy import GalaxyModel
from ..model.scene import Scene

UNDERSTATED = 0.7
"""Errors that a fit is told, in units of those of the data."""
WIDENED = 1.2
"""FWHM of the point spread functions that a fit is told, in units of those of the data."""
BIAS = 0.5
"""Added to every map of an emulator, in units of `TYPICAL_NOISE`, and not counted in its error."""

CONTROLS = {
    "understated-errors": f"fits are told {UNDERSTATED:g} of the errors",
    "wrong-psf": f"fits are told point spread functions {WIDENED:g} times as wide",
    "biased-emulator": f"fits use an emulator whose maps are too high by {BIAS:g} of a typical noise",
}
"""Name -> what is wrong."""


def mistold(control: str | None, observation: Observation) -> Observation:
    """What a fit is told of an observation: the same, but for the controls that concern data."""
    if control == "understated-errors":
        return dataclasses.replace(observation, errors=Maps(*(UNDERSTATED * e for e in observation.errors)))
    if control == "wrong-psf":
        psfs: dict[str, Any] = {
            name: dataclasses.replace(psf, fwhm=WIDENED * psf.fwhm)
            for name in ("psf_photometry", "psf_kinematics")
            if hasattr(psf := getattr(observation, name), "fwhm")
        }
        return dataclasses.replace(observation, **psfs)
    return observation


def biased(emulator: Emulator) -> Emulator:
    """An emulator with a bias, see `BIAS`, of which its error does not know."""
    card = dataclasses.replace(emulator.card, name=f"{emulator.card.name}, biased")
    return dataclasses.replace(emulator, card=card, function=_Biased(emulator.function))


def as_emulator(model: GalaxyModel) -> Emulator:
    """The full-resolution model in the shape of an emulator, without error: for canvases that no emulator is for."""
    recipe = Recipe(
        fidelity=model.fidelity,  # type: ignore[arg-type]
        low=model.canvas,
        high=model.canvas,
        components=model.components,
    )
    card = Card("full resolution", "The galaxy model itself.", recipe)
    return Emulator(card, _Itself(model), partial(full_scene, model))


@dataclasses.dataclass(frozen=True)
class _Itself:
    model: GalaxyModel

    def __call__(self, scene: Scene, inputs: Inputs) -> Estimate:
        maps = self.model(inputs.values, scene).maps
        return Estimate(maps, Maps(*(0.0 * m for m in maps)))


@dataclasses.dataclass(frozen=True)
class _Biased:
    function: Callable[[Any, Inputs], Estimate]

    def __call__(self, weights: Any, inputs: Inputs) -> Estimate:
        estimate = self.function(weights, inputs)
        return estimate._replace(maps=Maps(*(m + BIAS * t for m, t in zip(estimate.maps, TYPICAL_NOISE, strict=True))))
