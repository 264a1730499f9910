"""How wrong an emulator says that it is, and how wrong it is, where a fit with it ended."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from ..errors import InputError
from ..inference.fit import pose
from ..inference.likelihood import seen_variance
from ..inference.problem import on_canvas, predict
from ..inference.results import Posterior, complete
from ..maps import Maps, Observation

_SAME = 0.1
"""In errors of the data: how far maps of the same emulator are apart at most, in whatever precision it was run."""


class EmulatorError(NamedTuple):
    """Errors of an emulator's maps as the data see them, in units of the data's errors, (n, n); NaN without data.

    Attributes:
        claimed: one standard deviation by its own account, at the best fit that was made with it.
        found: its maps less those of the full-resolution reference, both at the best fit of the reference; None where
            the reference has an emulator itself, or other parameters.
    """

    claimed: Maps
    found: Maps | None


def emulator_error(posterior: Posterior, reference: Posterior, observation: Observation) -> EmulatorError:
    """The errors of the emulator that a posterior was made with.

    Args:
        posterior: made with an emulator.
        reference: of the same data.
        observation: the data of both.

    Raises:
        InputError: the emulator is not installed here, or the one that is gives other maps than the posterior has.
    """
    problem = pose(observation, parameters=posterior.parameters, emulator=posterior.emulator)
    target, arrays = problem.target, problem.arrays

    def seen_at(theta: np.ndarray) -> tuple[Maps, Maps]:
        prediction, seen, _ = predict(target, jnp.asarray(theta, arrays.shift.dtype), arrays)
        assert prediction.variance is not None, "emulators have one, and by default it is kept"
        return on_canvas(seen, problem), on_canvas(seen_variance(prediction.variance, arrays.data.bins), problem)

    maps, variance = seen_at(posterior.best)
    apart = in_errors(maps, posterior.binned_maps, observation)
    if max(np.nanmax(np.abs(plane)) for plane in apart if np.any(np.isfinite(plane))) > _SAME:
        raise InputError(
            f"the emulator {posterior.emulator!r} that is installed gives other maps than this fit was made with"
        )
    claimed = Maps(*(np.sqrt(v) / e for v, e in zip(variance, observation.errors, strict=True)))
    theta = None if reference.is_emulated else _same_galaxy(reference, posterior)
    if theta is None:
        return EmulatorError(claimed, None)
    return EmulatorError(claimed, in_errors(seen_at(theta)[0], reference.binned_maps, observation))


def _same_galaxy(reference: Posterior, posterior: Posterior) -> np.ndarray | None:
    """The best fit of the reference in the free parameters of another posterior; None if these do not reach it."""
    values, parameters = reference.best_values(), posterior.parameters
    if not set(parameters.names) <= set(values):
        return None
    theta = parameters.flatten(values)
    reached = {name: column[0] for name, column in complete(parameters, theta[None]).items()}
    same = reached.keys() == values.keys() and all(np.isclose(reached[name], values[name]) for name in values)
    return theta if same else None


def in_errors(first: Maps, second: Maps, observation: Observation) -> Maps:
    """(first - second) / error of the data, (n, n) each."""
    return Maps(*((a - b) / e for a, b, e in zip(first, second, observation.errors, strict=True)))
