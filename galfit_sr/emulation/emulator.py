"""The emulator: one swappable stage between the model on few pixels and the likelihood on many."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp

from ..devices import full_precision
from ..maps import Maps, Observation
from ..model.component import Values
from ..model.galaxy import GalaxyModel, Prediction
from ..model.scene import Scene, make_scene
from ..shown import Shown
from .card import Card

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Inputs(NamedTuple):
    """What an emulator is given for one galaxy.

    Attributes:
        maps: of the low-resolution model, (n, n) each: log10 L_sun/kpc^2, km/s, km/s, M_sun/L_sun; relative to the
            galaxy's systemic velocity.
        values: name -> scalar, all parameters of the model.
        scene: of the low resolution, with the scale of its pixels and the place of the origin.
    """

    maps: Maps
    values: Values
    scene: Scene


class Estimate(NamedTuple):
    """What an emulator gives for one galaxy.

    Attributes:
        maps: at high resolution, (N, N) each, in the units of its input.
        error: one standard deviation of the maps' error, (N, N) each, in the same units.
    """

    maps: Maps
    error: Maps


@dataclasses.dataclass(frozen=True, eq=False)
class Emulator(Shown):
    """A function from low-resolution to high-resolution maps, its weights, and the card that says what it is for.

    Attributes:
        card: what it was made for and how good it is.
        function: (weights, `Inputs`) -> `Estimate`, of one galaxy; pure, differentiable, and fit for `jax.jit` and
            `jax.vmap`. It must be hashable and equal for equal emulators: then their compiled programs are shared. A
            function at module level is.
        weights: arrays in any nest of tuples and dictionaries, or a function that makes them for an observation (its
            point spread functions, say). Given to the compiled program as an argument.
    """

    card: Card
    function: Callable[[Any, Inputs], Estimate]
    weights: Any

    def plot(self) -> Figure:
        """Errors on held-out galaxies against a typical noise, and how well they are known, by map."""
        return self._draw()


class EmulatedScene(NamedTuple):
    """The galaxy's half of a super-resolved prediction.

    Attributes:
        low: scene of the low-resolution model.
        weights: of the emulator.
    """

    low: Scene
    weights: Any


@dataclasses.dataclass(frozen=True)
class SuperResolved:
    """Super-resolved predictor: the galaxy model on few pixels, then an emulator; used like a `GalaxyModel`.

    Attributes:
        model: low-resolution model.
        function: of the emulator.
    """

    model: GalaxyModel
    function: Callable[[Any, Inputs], Estimate]

    def __repr__(self) -> str:
        # The content, which identifies a run; a function would show its address.
        function = self.function
        name = f"{function.__module__}.{function.__qualname__}" if hasattr(function, "__qualname__") else function
        return f"SuperResolved({self.model!r}, {name})"

    def __call__(self, values: Values, scene: EmulatedScene) -> Prediction:
        """The four maps and the variance of the emulator's error; arguments as for `GalaxyModel`."""
        moving = dict(values)
        systemic = moving.pop("systemic_velocity", 0.0)
        with full_precision():
            estimate = self.function(scene.weights, Inputs(self.model(moving, scene.low).maps, moving, scene.low))
        maps = estimate.maps._replace(velocity=estimate.maps.velocity + systemic)
        return Prediction(maps, Maps(*(e**2 for e in estimate.error)))


def super_resolved(emulator: Emulator) -> SuperResolved:
    """The predictor of an emulator."""
    return SuperResolved(emulator.card.recipe.low_model, emulator.function)


def emulated_scene(emulator: Emulator, observation: Observation) -> EmulatedScene:
    """What the predictor needs to know of a galaxy.

    Raises:
        InputError: the emulator was made for other maps (see `Card.check`).
    """
    emulator.card.check(observation)
    recipe = emulator.card.recipe
    assert observation.origin is not None, "filled in when it was made"
    x, y = ((place + 0.5) / recipe.scale - 0.5 for place in observation.origin)
    low = make_scene(recipe.low, observation.redshift, origin=(x, y))
    weights = emulator.weights(observation) if callable(emulator.weights) else emulator.weights
    return EmulatedScene(low, jax.tree.map(lambda a: jnp.asarray(a, low.origin.dtype), weights))
