"""One galaxy to be fitted: prior, predictor, likelihood and data, in the latent space that every sampler shares.

The latent coordinates z are the probit of the prior's unit cube: the prior is a standard normal in them, whatever it
is in the parameters, without edges or orders. A periodic parameter is cut opposite to a reference value.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtri

from ..devices import devices_for, spread
from ..emulation.card import Card
from ..emulation.emulator import Emulator, emulated_scene, super_resolved
from ..errors import InputError
from ..maps import KINEMATIC, MAP_NAMES, Maps, Observation
from ..model.galaxy import GalaxyModel, Prediction
from ..model.scene import Scene, make_scene
from ..priors import Prior
from .likelihood import (
    Data,
    LikelihoodSettings,
    deviance_residuals,
    log_likelihood,
    make_data,
    normalised_residuals,
    offset,
    seen,
)

_CUBE_EDGE = 1e-7
CHUNK = 1024
"""Rows of the compiled batch functions."""


class Predictor(Protocol):
    """Parameters in, four maps and their uncertainty out, at full resolution or super-resolved: no matter from here."""

    def __call__(self, values: dict[str, jax.Array], scene: Any) -> Prediction:
        """Pure, jittable; hashable and equal for equal settings, so that programs are shared."""


class Arrays(NamedTuple):
    """Everything that differs between two galaxies; argument, never closure, of every compiled program.

    Attributes:
        scene: what the predictor needs: a `Scene`, or an `EmulatedScene` with the weights of the emulator.
        data: what the likelihood needs.
        shift: (ndim,) added to the unit cube, modulo 1, in periodic coordinates; 0 in the others.
    """

    scene: Any
    data: Data
    shift: jax.Array


@dataclasses.dataclass(frozen=True)
class Target:
    """The static half of a problem. Equal targets share their compiled programs.

    Attributes:
        prior: of the free parameters.
        predictor: model, or model and emulator.
        settings: of the likelihood.
    """

    prior: Prior
    predictor: Predictor
    settings: LikelihoodSettings

    @property
    def ndim(self) -> int:
        """Number of free parameters."""
        return self.prior.ndim

    @partial(jax.jit, static_argnums=0)
    def parameters(self, z: jax.Array, shift: jax.Array) -> jax.Array:
        """Latent (..., ndim) to parameters (..., ndim)."""
        # XLA repeats cheap operations in each of their many consumers; erf is one that it does not, a product another,
        # while `optimization_barrier` is dropped on CPU before that. The edges are far above what erf has lost there.
        u = jnp.clip(0.5 + 0.5 * jax.lax.erf(z * math.sqrt(0.5)), _CUBE_EDGE, 1 - _CUBE_EDGE)
        theta = self.prior.transform(self._turned(u, shift))
        return jnp.matmul(theta, jnp.eye(self.ndim, dtype=theta.dtype), precision=jax.lax.Precision.HIGHEST)

    @partial(jax.jit, static_argnums=0)
    def latent(self, theta: jax.Array, shift: jax.Array) -> jax.Array:
        """Inverse of `parameters`."""
        u = self._turned(self.prior.cube(theta), -shift)
        return ndtri(jnp.clip(u, _CUBE_EDGE, 1 - _CUBE_EDGE))

    def _turned(self, u: jax.Array, shift: jax.Array) -> jax.Array:
        """The unit cube with periodic coordinates moved by `shift`, modulo 1."""
        moved = jnp.mod(u + jnp.broadcast_to(shift, u.shape), 1.0)
        return jnp.where(np.broadcast_to(self.prior.periodic, u.shape), moved, u)

    def predict(self, theta: jax.Array, arrays: Arrays) -> tuple[Prediction, dict[str, jax.Array]]:
        """Maps of a parameter vector (ndim,), with the variance that is to be counted, and all values by name."""
        values = self.prior.parameters.complete(theta)
        prediction = self.predictor(values, arrays.scene)
        return prediction if self.settings.emulator_error else prediction._replace(variance=None), values

    def log_likelihood(self, theta: jax.Array, arrays: Arrays) -> jax.Array:
        """Log-likelihood less its offset, of one parameter vector (ndim,)."""
        value = log_likelihood(self.settings, *self.predict(theta, arrays), arrays.data)
        return jnp.where(jnp.isfinite(value), value, -jnp.inf)

    def latent_log_likelihood(self, z: jax.Array, arrays: Arrays) -> jax.Array:
        """The same, of one latent vector (ndim,)."""
        return self.log_likelihood(self.parameters(z, arrays.shift), arrays)

    def residuals(self, z: jax.Array, arrays: Arrays) -> jax.Array:
        """Rows whose half sum of squares is minus the log posterior in z, up to a constant; the last ndim are z."""
        predicted = self.predict(self.parameters(z, arrays.shift), arrays)
        return jnp.concatenate([deviance_residuals(self.settings, *predicted, arrays.data), z])


def log_standard_normal(z: jax.Array) -> jax.Array:
    """Log density of the prior in latent coordinates (..., ndim)."""
    return -0.5 * jnp.sum(z**2, axis=-1) - z.shape[-1] * 0.5 * jnp.log(2 * jnp.pi)


def in_chunks(function: Callable[[jax.Array], jax.Array], rows: np.ndarray, dtype: jnp.dtype) -> np.ndarray:
    """A compiled function of (CHUNK, ndim) rows, for any number of rows, float64: no new program for a new number."""
    padded = np.concatenate([rows, np.repeat(rows[:1], -len(rows) % CHUNK, axis=0)])
    pieces = [
        np.asarray(function(jnp.asarray(chunk, dtype)), dtype=np.float64)
        for chunk in padded.reshape(-1, CHUNK, rows.shape[1])
    ]
    return np.concatenate(pieces)[: len(rows)]


@partial(jax.jit, static_argnums=0)
def batch_log_likelihood(target: Target, z: jax.Array, arrays: Arrays) -> jax.Array:
    """Log-likelihoods less their offset of latent vectors (m, ndim)."""
    return spread(target.latent_log_likelihood, devices_for(len(z)), z, arrays)


def log_likelihoods(problem: Problem, z: np.ndarray) -> np.ndarray:
    """(m,) float64: log-likelihoods less their offset of any number of latent vectors (m, ndim)."""
    target, arrays = problem.target, problem.arrays
    return in_chunks(lambda rows: batch_log_likelihood(target, rows, arrays), z, arrays.shift.dtype)


@partial(jax.jit, static_argnums=0)
def predict(target: Target, theta: jax.Array, arrays: Arrays) -> tuple[Prediction, Maps, Maps]:
    """The maps (n, n) of a parameter vector, the same as the data see them and their residuals in sigma, (n*n,)."""
    prediction, _ = target.predict(theta, arrays)
    return prediction, seen(prediction.maps, arrays.data.bins), normalised_residuals(prediction, arrays.data)


@dataclasses.dataclass(frozen=True, eq=False)
class Problem:
    """A galaxy and everything needed to fit it.

    Attributes:
        target: static half.
        arrays: the galaxy's half.
        offset: to be added to every log-likelihood of the target.
        observation: the data as they came.
        card: of the emulator, None at full resolution.
    """

    target: Target
    arrays: Arrays
    offset: float
    observation: Observation
    card: Card | None = None

    def cut_opposite(self, theta: jax.Array | np.ndarray) -> Problem:
        """The same problem with periodic coordinates cut as far as possible from the values in `theta` (..., ndim)."""
        prior = self.target.prior
        rows = np.reshape(theta, (-1, prior.ndim))
        u = np.stack([np.asarray(prior.cube(jnp.asarray(row, self.arrays.shift.dtype)), np.float64) for row in rows])
        shift = np.zeros(prior.ndim)
        for i in np.flatnonzero(prior.periodic):
            places = np.sort(u[:, i])
            gaps = np.diff(places, append=places[0] + 1)
            widest = np.argmax(gaps)
            shift[i] = places[widest] + gaps[widest] / 2 - 1
        return self.cut_by(shift)

    def cut_by(self, shift: jax.Array | np.ndarray) -> Problem:
        """The same problem with its unit cube shifted by (ndim,), as that of another problem is."""
        shift = jnp.asarray(shift, self.arrays.shift.dtype)
        return dataclasses.replace(self, arrays=self.arrays._replace(shift=shift))


def make_problem(
    observation: Observation, prior: Prior, predictor: GalaxyModel | Emulator, settings: LikelihoodSettings
) -> Problem:
    """A problem with the full-resolution predictor, or with an emulator on top of its low-resolution model.

    Raises:
        InputError: no settings, canvas and observation differ, a PSF does not suit the pixels or the emulator, or
            nothing is left to fit.
    """
    if not isinstance(settings, LikelihoodSettings):
        raise InputError(f"the likelihood is {settings!r}; settings such as LikelihoodSettings('student-t') are needed")
    data = make_data(observation, settings)
    shift = jnp.zeros(prior.ndim, jnp.result_type(float))
    if isinstance(predictor, Emulator):
        target = Target(prior, super_resolved(predictor), settings)
        arrays = Arrays(emulated_scene(predictor, observation), data, shift)
        return Problem(target, arrays, offset(settings, data), observation, predictor.card)
    arrays = Arrays(full_scene(predictor, observation), data, shift)
    return Problem(Target(prior, predictor, settings), arrays, offset(settings, data), observation)


def full_scene(model: GalaxyModel, observation: Observation) -> Scene:
    """What the model needs to know of an observation to predict its maps."""
    return make_scene(
        model.canvas,
        observation.redshift,
        observation.psf_photometry,
        observation.psf_kinematics,
        fidelity=model.fidelity,
        origin=observation.origin,
    )


def on_canvas(flat: Maps, problem: Problem) -> Maps:
    """Maps as the data see them, (n*n,) from `predict`, back on their pixels: (n, n) float64, NaN where no data are."""
    observation, bins = problem.observation, problem.arrays.data.bins
    placed = []
    for name, plane, good in zip(MAP_NAMES, flat, observation.good, strict=True):
        values = np.asarray(plane, dtype=np.float64)
        if bins is not None and name in KINEMATIC:
            values = np.append(values, np.nan)[np.asarray(bins)]
        placed.append(np.where(good, values.reshape(good.shape), np.nan))
    return Maps(*placed)
