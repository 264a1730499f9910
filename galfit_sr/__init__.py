"""galfit_sr: Bayesian fits of galaxy maps, in JAX, with super-resolution as one swappable stage."""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING as _TYPE_CHECKING

if _TYPE_CHECKING:
    __version__: str
    from .analysis.calibrate import Calibration as Calibration
    from .analysis.calibrate import calibrate as calibrate
    from .analysis.compare import Comparison as Comparison
    from .analysis.compare import compare as compare
    from .emulation.bundle import load_bundle as load_bundle
    from .emulation.card import Card as Card
    from .emulation.emulator import Emulator as Emulator
    from .emulation.emulator import Estimate as Estimate
    from .emulation.emulator import Inputs as Inputs
    from .emulation.recipe import Recipe as Recipe
    from .emulation.registry import all_emulators as all_emulators
    from .emulation.registry import find_emulator as find_emulator
    from .emulation.training import train as train
    from .emulation.training_settings import Training as Training
    from .errors import InputError as InputError
    from .inference.answer import FirstAnswer as FirstAnswer
    from .inference.fit import first_answer as first_answer
    from .inference.fit import fit as fit
    from .inference.fit import parameters_for as parameters_for
    from .inference.likelihood import LikelihoodSettings as LikelihoodSettings
    from .inference.nested import Nested as Nested
    from .inference.nss import Nss as Nss
    from .inference.nuts import Nuts as Nuts
    from .inference.results import Posterior as Posterior
    from .maps import Maps as Maps
    from .maps import Observation as Observation
    from .model.galaxy import GalaxyModel as GalaxyModel
    from .model.grid import Canvas as Canvas
    from .model.scene import make_scene as make_scene
    from .observations import MOCK_TRUTH as MOCK_TRUTH
    from .observations import make_mock as make_mock
    from .observations import mock_galaxy_path as mock_galaxy_path
    from .observations import read as read
    from .observations import read_manga as read_manga
    from .observations import read_observation as read_observation
    from .observations import write_observation as write_observation
    from .parameters import JITTER as JITTER
    from .parameters import Order as Order
    from .parameters import Parameter as Parameter
    from .parameters import Parameters as Parameters
    from .parameters import default_parameters as default_parameters
    from .psf import DoubleGaussianPSF as DoubleGaussianPSF
    from .psf import GaussianPSF as GaussianPSF
    from .psf import ImagePSF as ImagePSF
    from .psf import MoffatPSF as MoffatPSF
    from .startup import start_jax as start_jax
    from .surveys.survey import Survey as Survey
    from .surveys.survey import survey as survey

# A public name is imported when it is first used: JAX takes seconds to load, and `galfit-sr --help` does not need it.
_HOMES = {
    "Calibration": "analysis.calibrate",
    "Canvas": "model.grid",
    "Card": "emulation.card",
    "Comparison": "analysis.compare",
    "DoubleGaussianPSF": "psf",
    "Emulator": "emulation.emulator",
    "Estimate": "emulation.emulator",
    "FirstAnswer": "inference.answer",
    "GalaxyModel": "model.galaxy",
    "GaussianPSF": "psf",
    "ImagePSF": "psf",
    "InputError": "errors",
    "Inputs": "emulation.emulator",
    "JITTER": "parameters",
    "LikelihoodSettings": "inference.likelihood",
    "MOCK_TRUTH": "observations",
    "Maps": "maps",
    "MoffatPSF": "psf",
    "Nested": "inference.nested",
    "Nss": "inference.nss",
    "Nuts": "inference.nuts",
    "Observation": "maps",
    "Order": "parameters",
    "Parameter": "parameters",
    "Parameters": "parameters",
    "Posterior": "inference.results",
    "Recipe": "emulation.recipe",
    "Survey": "surveys.survey",
    "Training": "emulation.training_settings",
    "all_emulators": "emulation.registry",
    "calibrate": "analysis.calibrate",
    "compare": "analysis.compare",
    "default_parameters": "parameters",
    "find_emulator": "emulation.registry",
    "first_answer": "inference.fit",
    "fit": "inference.fit",
    "load_bundle": "emulation.bundle",
    "make_mock": "observations",
    "make_scene": "model.scene",
    "mock_galaxy_path": "observations",
    "parameters_for": "inference.fit",
    "read": "observations",
    "read_manga": "observations",
    "read_observation": "observations",
    "start_jax": "startup",
    "survey": "surveys.survey",
    "train": "emulation.training",
    "write_observation": "observations",
}
__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> object:
    if name == "__version__":
        value = _import_module("importlib.metadata").version("galfit-sr")
    elif name in _HOMES:
        value = getattr(_import_module(f".{_HOMES[name]}", __name__), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
