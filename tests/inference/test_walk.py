"""The kernel leaves its stationary density as it is, counts what it evaluates, and does not care about devices."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import analytic
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import ks_2samp

from galfit_sr.inference.mixture import laplace_mixture
from galfit_sr.inference.problem import Problem
from galfit_sr.inference.proposal import Proposal, from_cube, make_proposal
from galfit_sr.inference.walk import Kernel, Walked, differences, make_kernel, repartitioned_log_likelihood

SCALE = 0.4
WALKERS = 2000
# Smallest p-value of eleven Kolmogorov-Smirnov tests: below 1e-4 once in a thousand times; the seeds are fixed.
LEAST_P = 1e-4


@partial(jax.jit, static_argnums=0)
def _density(target, proposal, z, arrays):
    return jax.lax.map(lambda one: repartitioned_log_likelihood(target, one, proposal, arrays), z)


def density(problem: Problem, proposal: Proposal, z: np.ndarray) -> np.ndarray:
    """log(L pi/q) of positions (m, ndim), less the offset."""
    return np.asarray(_density(problem.target, proposal, jnp.asarray(z), problem.arrays))


def draws(problem: Problem, proposal: Proposal, seed: int, share: float) -> tuple[np.ndarray, float]:
    """Exact draws of q where L pi/q is in its highest `share`, by rejection, and that threshold."""
    u = np.random.default_rng(seed).random((round(3 * WALKERS / share), problem.target.ndim + 1))
    z = from_cube(proposal, u)
    values = density(problem, proposal, z)
    threshold = float(np.quantile(values, 1 - share))
    return z[values > threshold], threshold


def walked_from(kernel: Kernel, rng: np.random.Generator, start: np.ndarray, pool: np.ndarray, **how: float) -> Walked:
    """Walks with steps between random pairs out of a pool."""
    return kernel.run(rng, start, differences(rng, pool, kernel.walkers, kernel.walks), **how)


def least_p(found: np.ndarray, expected: np.ndarray, values: np.ndarray, expected_values: np.ndarray) -> float:
    """Smallest p-value over the coordinates, their pairwise sums, and L pi/q."""
    ndim = found.shape[1]
    pairs = [(found[:, i], expected[:, i]) for i in range(ndim)]
    pairs += [(found[:, i] + found[:, j], expected[:, i] + expected[:, j]) for i in range(ndim) for j in range(i)]
    pairs.append((values, expected_values))
    return min(ks_2samp(a, b).pvalue for a, b in pairs)


def walked_p(problem: Problem, proposal: Proposal, other: Proposal, share: float, walks: int = 30) -> float:
    """Agreement of exact draws of one restricted density with the same after walks in that, or in another, density."""
    exact, threshold = draws(problem, proposal, 1, share)
    start, pool, expected = exact[:WALKERS], exact[WALKERS : WALKERS + 500], exact[WALKERS + 500 :]
    kernel = make_kernel(problem, other, WALKERS, walks)
    walked = walked_from(kernel, np.random.default_rng(3), start, pool, threshold=threshold, scale=SCALE)
    assert np.mean(np.all(walked.z == start, axis=1)) < 0.1, "the walkers must have moved for this to say anything"
    values, expected_values = density(problem, proposal, walked.z), density(problem, proposal, expected)
    return least_p(walked.z, expected, values, expected_values)


CASES = {
    "gaussian around its mode": (analytic.correlated_gaussian, 1),
    "gaussian from the prior": (analytic.correlated_gaussian, 0),
    "two modes, both known": (analytic.two_modes, 2),
    "student around its mode": (analytic.student_arms, 1),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("share", [0.5, 0.05])
def test_restricted_proposal_is_stationary(case, share):
    make, used = CASES[case]
    known = make(4)
    proposal = make_proposal(4, laplace_mixture(known.modes[:used]) if used else None, jnp.float64)
    assert walked_p(known.problem, proposal, proposal, share) > LEAST_P


def test_walk_in_another_density_is_noticed():
    known = analytic.correlated_gaussian(4)
    around, prior = (make_proposal(4, m, jnp.float64) for m in (laplace_mixture(known.modes), None))
    # The threshold belongs to the first density; with a low one it hardly constrains the walks in the second.
    assert walked_p(known.problem, prior, around, 0.5) < 1e-6 * LEAST_P


def test_walkers_leap_between_modes_that_the_pool_knows():
    known = analytic.two_modes(3)
    rng = np.random.default_rng(4)
    first, second = (rng.multivariate_normal(m.z, m.covariance, size=250) for m in known.modes)
    start = rng.multivariate_normal(known.modes[0].z, known.modes[0].covariance, size=200)
    proposal = make_proposal(3, laplace_mixture(known.modes), jnp.float64)
    kernel = make_kernel(known.problem, proposal, 200, 60)
    pools = np.concatenate([first, second]), first
    threshold = float(np.quantile(density(known.problem, proposal, np.concatenate([start, *pools])), 0.02))
    axis = known.modes[1].z - known.modes[0].z
    middle = 0.5 * (known.modes[1].z + known.modes[0].z)
    ends = (walked_from(kernel, rng, start, pool, threshold=threshold, scale=SCALE).z for pool in pools)
    crossed = [np.mean((z - middle) @ axis > 0) for z in ends]
    # Six leaps a walk, of which a quarter point the right way and some of those land: a tenth of the walkers is few.
    assert crossed[0] > 0.1
    assert crossed[1] < 0.1 * crossed[0]


def test_returned_value_belongs_to_the_returned_position_and_is_above_the_threshold():
    known = analytic.student_arms(4)
    proposal = make_proposal(4, laplace_mixture(known.modes), jnp.float64)
    exact, threshold = draws(known.problem, proposal, 5, 0.5)
    # Walks of one long step mostly stay where they were: the value of the start must come back too.
    for walks, scale in ((20, SCALE), (1, 2.0)):
        kernel = make_kernel(known.problem, proposal, 64, walks)
        walked = walked_from(kernel, np.random.default_rng(6), exact[:64], exact, threshold=threshold, scale=scale)
        np.testing.assert_allclose(walked.log_likelihood, density(known.problem, proposal, walked.z), rtol=1e-12)
        assert np.all(walked.log_likelihood > threshold)
    stayed = np.all(walked.z == exact[:64], axis=1)
    assert 0 < stayed.sum() < 64
    np.testing.assert_array_equal(stayed, walked.accepted == 0)


def test_evaluations_are_those_that_are_counted():
    known = analytic.correlated_gaussian(4)
    problem = dataclasses.replace(known.problem, target=analytic.Counting(4))
    kernel = make_kernel(problem, make_proposal(4, laplace_mixture(known.modes), jnp.float64), 8, 15)
    analytic.EVALUATED.clear()
    walked_from(kernel, np.random.default_rng(1), np.zeros((8, 4)), np.eye(4), threshold=-1e9, scale=SCALE)
    jax.effects_barrier()
    assert len(analytic.EVALUATED) == kernel.walkers * kernel.calls == 8 * 16


def run_on_devices() -> None:
    """What the subprocess below does: the same walks on as many devices as it was given, and one bad request."""
    known = analytic.correlated_gaussian(6)
    kernel = make_kernel(known.problem, make_proposal(6, laplace_mixture(known.modes), jnp.float64), 8, 25)
    start = np.random.default_rng(1).multivariate_normal(known.modes[0].z, known.modes[0].covariance, size=8)
    walked = walked_from(kernel, np.random.default_rng(2), start, start, threshold=-1e9, scale=SCALE)
    np.savez(sys.argv[1], devices=len(jax.devices()), **walked._asdict())


def test_four_devices_give_what_one_gives(tmp_path):
    here = Path(__file__)
    code = f"import sys; sys.path.insert(0, {str(here.parent)!r}); import test_walk; test_walk.run_on_devices()"
    results = []
    for devices in (1, 4):
        out = tmp_path / f"{devices}.npz"
        environment = {
            **os.environ,
            "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
            "JAX_PLATFORMS": "cpu",
            "JAX_ENABLE_X64": "1",
        }
        subprocess.run([sys.executable, "-c", code, out], env=environment, check=True, timeout=300)
        results.append(np.load(out))
    one, four = results
    assert (one["devices"], four["devices"]) == (1, 4)
    for name in ("z", "log_likelihood", "accepted"):
        # Matrix products of another number of rows round otherwise.
        np.testing.assert_allclose(one[name], four[name], rtol=1e-12)
