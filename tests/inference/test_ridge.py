"""Coordinates in which sharp ridges are straight: a bijection that preserves volumes, posteriors and evidences."""

from __future__ import annotations

import dataclasses

import analytic
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm

from galfit_sr.errors import InputError
from galfit_sr.inference.checkpoint import Checkpoints, load_answer, save_answer
from galfit_sr.inference.fit import first_answer
from galfit_sr.inference.flow import LAYERS
from galfit_sr.inference.maximum import Mode
from galfit_sr.inference.mixture import laplace_mixture
from galfit_sr.inference.nested import Nested, run_nested
from galfit_sr.inference.perceptron import untrained
from galfit_sr.inference.problem import Problem, in_chunks, log_likelihoods
from galfit_sr.inference.ridge import SHARP, RidgedTarget, bent_back, ridge_of
from galfit_sr.inference.straightening import LOOKS, straightened
from galfit_sr.inference.strata import Start, Stratum
from galfit_sr.maps import TYPICAL_NOISE
from galfit_sr.model.galaxy import GalaxyModel
from galfit_sr.model.grid import Canvas
from galfit_sr.observations.mock import MOCK_TRUTH, make_mock

SHARPEST, OTHERS, SLOPES = 0.003, 0.01, np.array([0.3, -0.25, 0.2])


@dataclasses.dataclass(frozen=True)
class Sheet:
    """Data that pin the sum of two exponentials, as light is one, and three coordinates to parabolas of another."""

    ndim: int = 6

    def seen(self, z: jax.Array) -> jax.Array:
        pinned = z[3:] - jnp.asarray(SLOPES) * (z[2] ** 2 - 1)
        return jnp.append(pinned / OTHERS, (jnp.logaddexp(z[0], z[1]) - jnp.log(2.0)) / SHARPEST)

    def latent_log_likelihood(self, z: jax.Array, arrays: analytic.NoArrays) -> jax.Array:
        return -0.5 * jnp.sum(self.seen(z) ** 2)

    def residuals(self, z: jax.Array, arrays: analytic.NoArrays) -> jax.Array:
        return jnp.concatenate([self.seen(z), z])


SHEET = Problem(Sheet(), analytic.NoArrays(jnp.zeros(6, jnp.float64)), 0.0, None)


def sheet_mode() -> Mode:
    """In the middle of the sheet."""
    z = np.concatenate([np.zeros(3), -SLOPES])
    jacobian = np.asarray(jax.jacfwd(lambda z: SHEET.target.residuals(z, SHEET.arrays))(jnp.asarray(z)))
    return Mode(z, np.linalg.inv(jacobian.T @ jacobian), 0.0)


def sheet_evidence() -> float:
    off, ratio = (np.linspace(-8, 8, 201) * SHARPEST)[:, None], np.linspace(-14, 14, 4001)[None, :]
    # The Jacobian of (z0, z1) by (off, ratio) is one.
    first = np.log(2) + off - np.log1p(np.exp(ratio))
    density = np.exp(-0.5 * (off / SHARPEST) ** 2) * norm.pdf(first) * norm.pdf(first + ratio)
    exponentials = np.trapezoid(np.trapezoid(density, ratio[0], axis=1), off[:, 0])
    free = np.linspace(-8, 8, 20001)
    pinned = norm.pdf(SLOPES[:, None] * (free**2 - 1), scale=np.hypot(1, OTHERS)) * OTHERS * np.sqrt(2 * np.pi)
    return float(np.log(exponentials) + np.log(np.trapezoid(norm.pdf(free) * pinned.prod(axis=0), free)))


@pytest.fixture(scope="module")
def straight() -> tuple[Problem, tuple[Mode, ...]]:
    problem, modes, looks = straightened(SHEET, (sheet_mode(),), 1)
    assert looks == 2 * 6 + 1 + LOOKS
    assert ridge_of(problem) is not None
    return problem, modes


@pytest.mark.parametrize("seed", range(2))
def test_evidence_and_posterior_are_those_of_the_sheet(straight, seed):
    problem, modes = straight
    found = bent_back(problem, run_nested(problem, laplace_mixture(modes), Nested(nlive=200), seed))
    assert abs(found.log_evidence - sheet_evidence()) < 3 * found.log_evidence_error
    np.testing.assert_allclose(found.log_likelihood, log_likelihoods(SHEET, found.z), atol=1e-6)
    # The sheet is even in the third coordinate: a mean of n samples is known to a standard deviation / sqrt(n).
    weights = np.exp(found.log_weights)
    mean = weights @ found.z[:, 2]
    assert abs(mean) < 4 * np.sqrt(weights @ (found.z[:, 2] - mean) ** 2 / found.diagnostics["families"])


def test_likelihoods_hardly_vary_along_the_sheet(straight):
    """Of draws from the prior along the ridges; across them, straight steps from the maximum leave the posterior."""
    problem, (mode,) = straight
    ridge = ridge_of(problem)
    rng = np.random.default_rng(1)
    across = np.asarray(ridge.sharp)
    y = rng.standard_normal((500, 6))
    y -= (y - mode.z) @ across @ across.T
    bent, flat = (np.asarray(jax.vmap(Sheet().seen)(place)) for place in (jnp.asarray(latent(problem, y)), y))
    assert np.median(np.linalg.norm(bent, axis=1)) < 1
    assert np.median(np.linalg.norm(flat, axis=1)) > 30


def latent(problem: Problem, y: np.ndarray) -> np.ndarray:
    target, arrays = problem.target, problem.arrays
    return in_chunks(jax.jit(jax.vmap(lambda row: target.latent(row, arrays))), y, arrays.shift.dtype)


def test_it_is_a_bijection_that_preserves_volumes(straight):
    problem, _ = straight
    target, arrays = problem.target, problem.arrays
    for y in jnp.asarray(np.random.default_rng(2).standard_normal((20, 6))):
        np.testing.assert_allclose(target.straight(target.latent(y, arrays), arrays), y, atol=1e-10)
        assert float(jnp.linalg.slogdet(jax.jacfwd(target.latent)(y, arrays))[1]) == pytest.approx(0.0, abs=1e-9)


def test_a_posterior_without_bends_is_left_alone():
    model = GalaxyModel(components=("disc1", "halo"), canvas=Canvas(12, 3.0), fidelity="point")
    galaxy = make_mock(MOCK_TRUTH, model=model, fibres=0, seed=1)
    answer = first_answer(galaxy, model=model)
    problem, modes, looks = straightened(answer.problem, answer.modes, 1)
    assert problem is answer.problem
    assert modes is answer.modes
    assert looks == 2 * problem.target.ndim + 1


def test_of_a_galaxy_two_discs_of_like_size_are_straightened():
    """Data pin the light and the mass of both together, and hardly which disc they are in."""
    alike = {"log10_disc1_radius": 1.1, "log10_disc2_radius": 1.4, "log10_disc1_mass": 9.4, "log10_disc2_mass": 10.2}
    model = GalaxyModel(components=("disc1", "disc2", "halo"), canvas=Canvas(12, 3.0), fidelity="point")
    galaxy = make_mock({**MOCK_TRUTH, **alike}, model=model, fibres=0, errors=TYPICAL_NOISE, seed=1)
    answer = first_answer(galaxy, model=model)
    problem, modes, _ = straightened(answer.problem, answer.modes, 1)
    assert isinstance(problem.target, RidgedTarget)
    assert ridge_of(problem).sharp.shape == (problem.target.ndim, SHARP)
    # The density at a mode is what it was.
    for mode, before in zip(modes, answer.modes, strict=True):
        value = log_likelihoods(problem, mode.z[None])[0] - 0.5 * mode.z @ mode.z
        expected = before.log_posterior + 0.5 * mode.z.size * np.log(2 * np.pi)
        assert value == pytest.approx(expected, abs=1e-6)
        assert np.linalg.slogdet(mode.covariance)[1] == pytest.approx(np.linalg.slogdet(before.covariance)[1], abs=1e-5)


def test_a_checkpoint_keeps_ridges_and_mixtures(straight, tmp_path):
    problem, modes = straight
    files = Checkpoints(tmp_path)
    bent = dataclasses.replace(laplace_mixture(modes), couplings=untrained((1, LAYERS), 6, 12, 1))
    saved = Stratum(problem, laplace_mixture(modes)), Stratum(SHEET, bent)
    assert load_answer(files, SHEET) is None
    save_answer(files, Start(saved, 7, 0.25, {"first answer": 1.5, "bending": 2.5}))
    cut, (strata, *others) = load_answer(files, SHEET)
    assert others == [7, 0.25, {"first answer": 1.5, "bending": 2.5}]
    assert ridge_of(cut) is None
    for stratum, before in zip(strata, saved, strict=True):
        ridges = [jax.tree.leaves(ridge_of(one.problem)) for one in (stratum, before)]
        couplings = [jax.tree.leaves(one.mixture.couplings) for one in (stratum, before)]
        for here, there in (*zip(*ridges, strict=True), *zip(*couplings, strict=True)):
            np.testing.assert_array_equal(here, there)
        y = np.random.default_rng(3).standard_normal((5, 6))
        np.testing.assert_array_equal(log_likelihoods(stratum.problem, y), log_likelihoods(before.problem, y))
    files.answer.write_bytes(files.answer.read_bytes()[:1000])
    with pytest.raises(InputError, match=r"answer\.npz cannot be read as a checkpoint of this version"):
        load_answer(files, SHEET)
