"""Latent coordinates in which a posterior's sharpest ridges are straight.

Where data pin a few combinations of parameters (the light, the mass within the field) a hundred times better than the
rest, the posterior is a thin sheet, curved because those combinations are not linear in the parameters. What the data
see is nearly linear along it: with the singular vectors u and v of the residuals' Jacobian at the maximum, the shift
g of the sharp directions v that keeps u . residuals where it is, as a function of all other directions, follows the
sheet. z = y + v g(y) preserves volumes whatever g is, so a fixed number of Broyden's steps (1965, Math. Comput. 19,
577) will do. (Coordinates of what the data see: Bardsley et al. 2014, SIAM J. Sci. Comput. 36, A1895.)
"""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np

from .maximum import Mode, curvature_of
from .problem import Arrays, Problem, Target, in_chunks, log_standard_normal
from .sampled import Sampled, information

SHARP = 4
"""Directions that are straightened."""
STEPS = 4
"""Predictions that a place on the ridge takes."""
_CURVED = 10.0
"""Of a posterior whose ridges are straightened: standard deviations of a sharp direction by which the others bend it,
one standard deviation from the maximum."""
_FARTHEST = 1.0
"""Bound on a step along a sharp direction, in standard deviations of the prior."""
_LEAST = 1e-9


class Ridge(NamedTuple):
    """Where a posterior's sharpest ridges run.

    Attributes:
        centre: (ndim,) the maximum.
        sharp: (ndim, SHARP) unit vectors across the ridges.
        rows: (SHARP, m) what of the residuals tells the place across a ridge, less `level`.
        level: (SHARP,) the same at the maximum.
    """

    centre: jax.Array
    sharp: jax.Array
    rows: jax.Array
    level: jax.Array


class RidgedArrays(NamedTuple):
    """What differs between two galaxies, see `Arrays`, and the ridge."""

    arrays: Arrays
    ridge: Ridge

    @property
    def shift(self) -> jax.Array:
        """Of the periodic coordinates."""
        return self.arrays.shift


@dataclasses.dataclass(frozen=True)
class RidgedTarget:
    """A target in coordinates y in which its ridges are straight, with a standard normal for a prior as before.

    Attributes:
        target: in latent coordinates z.
    """

    target: Target

    @property
    def ndim(self) -> int:
        """Number of free parameters."""
        return self.target.ndim

    def latent(self, y: jax.Array, arrays: RidgedArrays) -> jax.Array:
        """(ndim,) z of y (ndim,)."""
        return y + arrays.ridge.sharp @ self._bend(y, arrays)

    def straight(self, z: jax.Array, arrays: RidgedArrays) -> jax.Array:
        """(ndim,) y of z (ndim,)."""
        return z - arrays.ridge.sharp @ self._bend(z, arrays)

    def latent_log_likelihood(self, y: jax.Array, arrays: RidgedArrays) -> jax.Array:
        """Log-likelihood less its offset, plus what makes a standard normal in y of the prior, at y (ndim,)."""
        z = self.latent(y, arrays)
        value = self.target.latent_log_likelihood(z, arrays.arrays) + log_standard_normal(z) - log_standard_normal(y)
        return jnp.where(jnp.isfinite(value), value, -jnp.inf)

    def _bend(self, place: jax.Array, arrays: RidgedArrays) -> jax.Array:
        """(SHARP,) where the ridges run, by the directions along them, in which y and z agree."""
        ridge = arrays.ridge
        along = place - ridge.sharp @ (ridge.sharp.T @ (place - ridge.centre))

        def off(bend: jax.Array) -> jax.Array:
            seen = ridge.rows @ self.target.residuals(along + ridge.sharp @ bend, arrays.arrays) - ridge.level
            return jnp.clip(jnp.where(jnp.isfinite(seen), seen, 0.0), -_FARTHEST, _FARTHEST)

        def step(state: Any, _: None) -> tuple[Any, None]:
            bend, inverse, before, move = state
            now = off(bend)
            # Broyden's correction of the inverse slopes by what the last move changed.
            moved = inverse @ (now - before)
            scale = move @ moved
            usable = jnp.abs(scale) > _LEAST
            correction = jnp.outer(move - moved, move @ inverse) / jnp.where(usable, scale, 1.0)
            inverse += jnp.where(usable, correction, 0.0)
            move = -jnp.clip(inverse @ now, -_FARTHEST, _FARTHEST)
            return (bend + move, inverse, now, move), None

        zero = jnp.zeros(ridge.level.size, place.dtype)
        (bend, *_), _ = jax.lax.scan(step, (zero, jnp.eye(zero.size, dtype=place.dtype), zero, zero), None, STEPS)
        return bend


def straightened(problem: Problem, modes: tuple[Mode, ...]) -> tuple[Problem, tuple[Mode, ...], int]:
    """The problem and its modes in coordinates in which its sharpest ridges are straight; as they are if none is bent.

    Args:
        problem: cut between its modes.
        modes: the best first.

    Returns:
        problem, modes, and the predictions that it took to see.
    """
    ndim = problem.target.ndim
    if ndim <= SHARP:
        return problem, modes, 0
    curvature = curvature_of(problem, modes[0].z)
    looks = 2 * ndim + 1
    sharp = np.argsort(-curvature.bends)[:SHARP]
    if curvature.bends[sharp[0]] < _CURVED:
        return problem, modes, looks
    rows = curvature.left[sharp] * curvature.deviations[sharp, None]
    parts = (modes[0].z, curvature.directions[sharp].T, rows, rows @ curvature.residuals)
    ridged = along(problem, Ridge(*(jnp.asarray(a, problem.arrays.shift.dtype) for a in parts)))
    return ridged, tuple(_straight_mode(ridged, mode) for mode in modes), looks


def along(problem: Problem, ridge: Ridge) -> Problem:
    """The problem in coordinates in which a ridge is straight."""
    # Of a target and its arrays, samplers ask for no more than these have.
    target, arrays = RidgedTarget(problem.target), RidgedArrays(problem.arrays, ridge)
    return dataclasses.replace(problem, target=cast(Any, target), arrays=cast(Any, arrays))


def ridge_of(problem: Problem) -> Ridge | None:
    """What a problem was straightened by, None if it was not."""
    arrays: Any = problem.arrays
    return arrays.ridge if isinstance(arrays, RidgedArrays) else None


def predictions(problem: Problem) -> int:
    """How many a likelihood of the problem takes."""
    return 1 if ridge_of(problem) is None else 1 + STEPS


def bent_back(problem: Problem, sampled: Sampled) -> Sampled:
    """Samples of a problem that may be straightened, in latent coordinates and with the likelihood proper."""
    if ridge_of(problem) is None:
        return sampled
    target, arrays = problem.target, problem.arrays
    z = in_chunks(lambda rows: _latent(cast(Any, target), rows, cast(Any, arrays)), sampled.z, arrays.shift.dtype)
    # Volumes are preserved: what was added to the likelihood is the difference of the priors.
    log_likelihood = sampled.log_likelihood + 0.5 * np.sum(z**2 - sampled.z**2, axis=1)
    evidence = sampled.log_evidence
    return dataclasses.replace(
        sampled,
        z=z,
        log_likelihood=log_likelihood,
        information=None if evidence is None else information(sampled.log_weights, log_likelihood, evidence),
        calls=sampled.calls * predictions(problem),
    )


def _straight_mode(ridged: Problem, mode: Mode) -> Mode:
    z = jnp.asarray(mode.z, ridged.arrays.shift.dtype)
    y, slopes = _straight(cast(Any, ridged.target), z, cast(Any, ridged.arrays))
    slopes = np.asarray(slopes, dtype=np.float64)
    return dataclasses.replace(mode, z=np.asarray(y, dtype=np.float64), covariance=slopes @ mode.covariance @ slopes.T)


@partial(jax.jit, static_argnums=0)
def _straight(target: RidgedTarget, z: jax.Array, arrays: RidgedArrays) -> tuple[jax.Array, jax.Array]:
    """y (ndim,) of z, and its slopes dy/dz (ndim, ndim)."""
    return target.straight(z, arrays), jax.jacfwd(target.straight)(z, arrays)


@partial(jax.jit, static_argnums=0)
def _latent(target: RidgedTarget, y: jax.Array, arrays: RidgedArrays) -> jax.Array:
    """z (m, ndim) of y."""
    return jax.lax.map(lambda row: target.latent(row, arrays), y)
