"""An answer in seconds, before any sampling: the maximum a posteriori with Laplace's errors."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np

from ..maps import MAP_NAMES, Maps
from ..progress import Progress
from ..shown import Shown
from .diagnosis import unfit
from .maximum import Mode, find_modes
from .problem import Problem, on_canvas, predict
from .residuals import patterns

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclasses.dataclass(frozen=True, eq=False)
class FirstAnswer(Shown):
    """Maximum a posteriori with Laplace's errors: an answer in seconds, before any sampling.

    Attributes:
        problem: what was fitted.
        modes: of the posterior, the best first.
        values: (ndim,) float64, free parameters of the best mode, in the units of the model.
        errors: (ndim,) float64, standard deviations by Laplace's approximation, in the same units.
        reduced_chi2: per available map.
        maps, binned_maps: the model, see `Posterior`.
        warnings: sentences; says early if the model does not describe the data.
        calls: evaluations of the likelihood.
        seconds: that it took, compilation included.
    """

    problem: Problem
    modes: tuple[Mode, ...]
    values: np.ndarray
    errors: np.ndarray
    reduced_chi2: Mapping[str, float]
    maps: Maps
    binned_maps: Maps
    warnings: tuple[str, ...]
    calls: int
    seconds: float

    def plot(self) -> Figure:
        """Data, model and residuals in standard deviations of every map; north up, east left."""
        return self._draw()

    def best_values(self) -> dict[str, float]:
        """Name -> value of every parameter of the model, fixed and tied ones included."""
        complete = self.problem.target.prior.parameters.complete(jnp.asarray(self.values))
        return {name: float(value) for name, value in complete.items()}


def find_answer(
    problem: Problem,
    seed: int,
    progress: Progress | None,
    candidates: np.ndarray | None = None,
) -> FirstAnswer:
    """The first answer; arguments as for `find_modes`."""
    began = time.monotonic()
    found = find_modes(problem, seed, progress=progress, candidates=candidates)
    target, shift = found.problem.target, found.problem.arrays.shift
    best = found.modes[0]
    z = jnp.asarray(best.z, shift.dtype)
    theta = target.parameters(z, shift)
    slopes = np.asarray(jax.jacfwd(target.parameters)(z, shift), dtype=np.float64)
    maps, binned, chi2 = look(found.problem, np.asarray(theta, dtype=np.float64))
    return FirstAnswer(
        found.problem,
        found.modes,
        np.asarray(theta, dtype=np.float64),
        np.sqrt(np.diag(slopes @ best.covariance @ slopes.T)),
        chi2,
        maps,
        binned,
        (
            *unfit(chi2, problem.observation),
            *patterns(maps, binned, chi2, problem.observation, target.settings.correlation_of(problem.observation)),
        ),
        found.calls,
        time.monotonic() - began,
    )


def look(problem: Problem, theta: np.ndarray) -> tuple[Maps, Maps, dict[str, float]]:
    """Model maps, the same as the data see them (NaN where there are none), and reduced chi^2 per available map."""
    arrays = problem.arrays
    prediction, seen, residuals = predict(problem.target, jnp.asarray(theta, arrays.shift.dtype), arrays)
    chi2 = {}
    for name, residual, inverse_error in zip(MAP_NAMES, residuals, arrays.data.inverse_errors, strict=True):
        used = np.asarray(inverse_error) > 0
        if np.any(used):
            chi2[name] = float(np.mean(np.asarray(residual, dtype=np.float64)[used] ** 2))
    maps = Maps(*(np.asarray(m, dtype=np.float64) for m in prediction.maps))
    return maps, on_canvas(seen, problem), chi2
