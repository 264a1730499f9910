"""Expansions: exact where residuals are quadratic, close on a galaxy, unharmed where the model gives no numbers."""

from __future__ import annotations

import dataclasses

import analytic
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from galfit_sr.inference.expansion import expanded, log_posterior
from galfit_sr.inference.fit import first_answer
from galfit_sr.inference.flow import Flow, make_flow, straight_couplings
from galfit_sr.inference.problem import Problem, log_likelihoods
from galfit_sr.maps import TYPICAL_NOISE
from galfit_sr.model.galaxy import GalaxyModel
from galfit_sr.model.grid import Canvas
from galfit_sr.observations.mock import MOCK_TRUTH, make_mock

NDIM, ROWS = 4, 3000
RNG = np.random.default_rng(1)
LINEAR, QUADRATIC = RNG.standard_normal((ROWS, NDIM)), RNG.standard_normal((ROWS, NDIM))
NOISE = RNG.standard_normal(ROWS)


@dataclasses.dataclass(frozen=True)
class Quadratic:
    """Residuals with a quadratic term along each coordinate; not a number where the first is above `edge`."""

    edge: float = np.inf
    ndim: int = NDIM

    def residuals(self, z: jax.Array, arrays: analytic.NoArrays) -> jax.Array:
        data = jnp.asarray(NOISE) + jnp.asarray(LINEAR) @ z + jnp.asarray(QUADRATIC) @ z**2
        return jnp.where(z[0] > self.edge, jnp.nan, jnp.concatenate([data, z]))


def problem_of(target: Quadratic) -> Problem:
    return Problem(target, analytic.NoArrays(jnp.zeros(NDIM, jnp.float64)), 0.0, None)


def exact(z: np.ndarray) -> np.ndarray:
    rows = np.concatenate([NOISE + z @ LINEAR.T + z**2 @ QUADRATIC.T, z], axis=1)
    return -0.5 * np.sum(rows**2, axis=1)


def flow_at(centre: np.ndarray, covariance: np.ndarray) -> Flow:
    return make_flow(centre, covariance, straight_couplings(len(centre)), jnp.dtype(np.float64))


@pytest.mark.parametrize("edge", [np.inf, 0.01])
def test_quadratic_residuals_are_met_everywhere(edge):
    """Far outside of the places too, and whether or not the model gives numbers at all of them."""
    flow = flow_at(np.zeros(NDIM), np.diag([0.01, 0.04, 0.02, 0.03]) ** 2)
    places = np.asarray(flow.basis) @ RNG.standard_normal((NDIM, 200))
    expansion = expanded(problem_of(Quadratic(edge)), flow, places.T)
    far = RNG.standard_normal((50, NDIM))
    found = np.asarray(jax.vmap(log_posterior, (None, 0))(expansion, jnp.asarray(far)))
    off = found - exact(far)
    # Single precision of the residuals, up to 30 at the places, at distances a hundred times as large.
    assert np.ptp(exact(far)) > 1e4
    np.testing.assert_allclose(off, off.mean(), atol=1e-3 * np.ptp(exact(far)))
    slopes = np.asarray(jax.vmap(jax.grad(log_posterior, argnums=1), (None, 0))(expansion, jnp.asarray(far)))
    assert np.all(np.isfinite(slopes))


def test_of_a_galaxy():
    """Over draws from its Laplace approximation the posterior is told to a fraction of a nat; Gaussian it is not."""
    model = GalaxyModel(canvas=Canvas(32, 1.0), fidelity="point")
    answer = first_answer(make_mock(MOCK_TRUTH, model=model, errors=TYPICAL_NOISE, seed=3), model=model)
    problem, mode = answer.problem, answer.modes[0]
    flow = flow_at(mode.z, mode.covariance)
    rng = np.random.default_rng(2)
    x = rng.standard_normal((512 + 200, mode.z.size))
    z = mode.z + x @ np.asarray(flow.basis).T
    expansion = expanded(problem, flow, z[:512])
    seen, x = z[512:], x[512:]
    posterior = log_likelihoods(problem, seen) - 0.5 * np.sum(seen**2, axis=1)
    near = posterior > posterior.max() - 30
    assert np.count_nonzero(near) > 20
    off = posterior - np.asarray(jax.vmap(log_posterior, (None, 0))(expansion, jnp.asarray(seen)))
    gaussian = posterior + 0.5 * np.sum(x**2, axis=1)
    assert np.std(off[near]) < 0.5 < np.std(gaussian[near])
