"""A network of a few weights, and galaxies to train it with, for tests that are not about either."""

import dataclasses

import jax
import numpy as np
from flax import nnx

from galfit_sr.emulation.examples import Examples, Source, drawn
from galfit_sr.emulation.recipe import Recipe
from galfit_sr.emulation.training_settings import Training
from galfit_sr.emulation.upsampling import bicubic, convolution


@dataclasses.dataclass(frozen=True)
class Small:
    """One convolution of the upsampled maps.

    Attributes:
        size: of its kernel.
    """

    size: int = 1

    def build(self, rngs):
        return _Module(self.size, rngs)


class _Module(nnx.Module):
    def __init__(self, size, rngs):
        self.convolution = convolution(4, 4, size, rngs)

    def __call__(self, maps, context):
        fine = bicubic(maps, 4)
        return fine + self.convolution(fine)


RECIPE = Recipe(draws="prior", fidelity="point")
"""Quick to compute, and of galaxies that do not depend on their number."""
SETTINGS = Training(recipe=RECIPE, galaxies=24, validation=8, epochs=4, batch=8, learning_rate=0.01)


def silent(stage, fraction, detail):
    """Progress for nobody."""


def source(training: Training = SETTINGS) -> Source:
    return drawn(training.recipe, training.galaxies, training.validation, training.fresh)


def examples(training: Training = SETTINGS) -> Examples:
    made = source(training)
    return made.examples(made.validation, "", silent)


def ranges(some: Examples) -> np.ndarray:
    return np.stack([f(some.high, axis=(0, 1, 2)) for f in (np.min, np.max)])


def same(one, other) -> bool:
    """Whether two nests hold the very same numbers."""
    return jax.tree.all(jax.tree.map(lambda a, b: np.array_equal(a, b, equal_nan=True), one, other))
