"""A run for every mode: their evidences and posteriors add up, whatever they start from."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import analytic
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import chi2

from galfit_sr.inference.maximum import Mode
from galfit_sr.inference.mixture import laplace_mixture
from galfit_sr.inference.nested import Nested, run_nested
from galfit_sr.inference.nss import Nss, run_nss
from galfit_sr.inference.perceptron import untrained
from galfit_sr.inference.problem import Problem
from galfit_sr.inference.proposal import batch_log_ratio, from_cube, log_density, make_proposal
from galfit_sr.inference.ridge import SHARP, Ridge, along, bent_back
from galfit_sr.inference.sampled import Sampled, joined
from galfit_sr.inference.strata import Stratum, rivals_of

SEEDS = range(5)
NESTED = Nested(nlive=100, walks=60)
KNOWN = analytic.two_modes()
"""With 3/4 and 1/4 of the posterior."""


def widened(mode: Mode, factor: float) -> Mode:
    return dataclasses.replace(mode, covariance=mode.covariance * factor**2)


def strata_of(problem: Problem, modes: Sequence[Mode]) -> list[Stratum]:
    return [Stratum(problem, laplace_mixture((mode,))) for mode in modes]


def run(strata: Sequence[Stratum], seed: int, settings: Nested | Nss = NESTED) -> list[Sampled]:
    sampler = run_nested if isinstance(settings, Nested) else run_nss
    return [
        bent_back(stratum.problem, sampler(*stratum, settings, 10 * seed + number, rivals=rivals))
        for number, (stratum, rivals) in enumerate(zip(strata, rivals_of(strata), strict=True))
    ]


def ridge(seed: int, ndim: int) -> Ridge:
    """Any: sharp directions at random, moved by whatever a perceptron of random weights says."""
    rng = np.random.default_rng(seed)
    directions = np.linalg.qr(rng.standard_normal((ndim, ndim)))[0]
    network = untrained((), ndim - SHARP, SHARP, seed)
    network = network._replace(last=0.1 * rng.standard_normal(network.last.shape))
    return Ridge(np.zeros(ndim), directions[:, :SHARP], directions[:, SHARP:], network)


def below_zero(sampled: Sampled) -> float:
    """Share of the posterior on the side of the second mode."""
    return float(np.sum(np.exp(sampled.log_weights)[sampled.z.sum(axis=1) < 0]))


def unlike(problem: Problem, modes: Sequence[Mode]) -> list[Stratum]:
    """The second mode from a start of which most draws are worthless, and in bent coordinates, the first as it is."""
    first, second = modes
    bent = along(problem, ridge(1, problem.target.ndim))
    return [*strata_of(problem, [first]), *strata_of(bent, [widened(second, 2.0)])]


def test_all_runs_divide_by_the_same_density():
    """The sum over all that they start from, each in coordinates of its own."""
    strata = unlike(KNOWN.problem, KNOWN.modes)
    z = jnp.asarray(np.random.default_rng(1).standard_normal((200, 18)))
    straight = strata[1].problem.target.straight
    places = z, jax.vmap(straight, (0, None))(z, strata[1].problem.arrays)
    densities, totals = [], []
    for stratum, rivals, place in zip(strata, rivals_of(strata), places, strict=True):
        proposal = make_proposal(18, stratum.mixture, jnp.float64, rivals)
        densities.append(jax.vmap(log_density, (None, 0))(proposal, place))
        totals.append(batch_log_ratio(proposal, place) - 0.5 * jnp.sum(place**2, axis=1) - 9 * np.log(2 * np.pi))
    np.testing.assert_allclose(totals[0], jnp.logaddexp(*densities), rtol=1e-12)
    np.testing.assert_allclose(totals[1], totals[0], rtol=1e-12)
    assert np.std(densities[0] - densities[1]) > 1


@pytest.fixture(scope="module")
def runs() -> list[list[Sampled]]:
    strata = unlike(KNOWN.problem, KNOWN.modes)
    return [run(strata, seed) for seed in SEEDS]


def test_evidences_add_up(runs):
    found = [joined(parts) for parts in runs]
    off = np.array([one.log_evidence for one in found]) - KNOWN.log_evidence
    error = np.array([one.log_evidence_error for one in found])
    assert np.all(np.abs(off) < 4 * error)
    assert abs(off.mean()) < 3 * np.sqrt(np.sum(error**2)) / off.size
    assert np.all(error < 0.3)


def share_errors(runs: Sequence[Sequence[Sampled]]) -> np.ndarray:
    """Of the share of the second mode, from the errors of the two evidences."""
    return np.array([0.75 * 0.25 * np.hypot(*(part.log_evidence_error for part in parts)) for parts in runs])


def test_each_finds_its_mode(runs):
    shares = np.array([below_zero(joined(parts)) for parts in runs])
    assert np.all(np.abs(shares - 0.25) < 4 * share_errors(runs))
    for first, second in runs:
        assert below_zero(first) < 0.01
        assert below_zero(second) > 0.99
    # The likelihoods of the samples are those of the whole.
    part = runs[0][1]
    target, arrays = KNOWN.problem.target, KNOWN.problem.arrays
    values = jax.vmap(target.latent_log_likelihood, (0, None))(jnp.asarray(part.z), arrays)
    np.testing.assert_allclose(part.log_likelihood, np.asarray(values) + KNOWN.problem.offset, atol=1e-6)


def test_in_one_run_the_share_of_the_worse_start_is_left_to_chance(runs):
    """What strata are for; were it not so, one run would do."""
    first, second = KNOWN.modes
    mixture = laplace_mixture((first, widened(second, 2.0)))
    shared = np.array([below_zero(run_nested(KNOWN.problem, mixture, NESTED, seed)) for seed in SEEDS])
    assert np.sum(((shared - 0.25) / share_errors(runs)) ** 2) > chi2(len(SEEDS)).ppf(1 - 1e-3)


def test_starts_that_overlap_share_what_lies_between_them():
    """Two strata of the same mode: what one of them finds the other does not count again."""
    known = analytic.correlated_gaussian()
    (mode,) = known.modes
    aside = mode.z + np.linalg.cholesky(mode.covariance) @ np.full(18, 0.3)
    parts = run(strata_of(known.problem, [mode, dataclasses.replace(mode, z=aside)]), 1)
    found = joined(parts)
    assert abs(found.log_evidence - known.log_evidence) < 4 * found.log_evidence_error
    assert all(part.log_evidence < known.log_evidence - 0.2 for part in parts)
    assert found.diagnostics["families"] < sum(part.diagnostics["families"] for part in parts) + 1e-9


def test_nested_slice_sampling_has_them_too():
    known = analytic.two_modes(6)
    parts = run(unlike(known.problem, known.modes), 1, Nss(nlive=100, slices=12, draws=4))
    found = joined(parts)
    assert abs(found.log_evidence - known.log_evidence) < 4 * found.log_evidence_error
    assert abs(below_zero(found) - 0.25) < 4 * 0.75 * 0.25 * np.hypot(*(part.log_evidence_error for part in parts))


def part_of(n: int, log_evidence: float, error: float, seed: int) -> Sampled:
    rng = np.random.default_rng(seed)
    weights = rng.random(n)
    return Sampled(
        rng.standard_normal((n, 3)),
        np.log(weights / weights.sum()),
        rng.standard_normal(n),
        log_evidence,
        error,
        1.0,
        100 * seed,
        10.0 * seed,
        seed != 3,
        -np.arange(1.0, n + 1),
        diagnostics={"acceptance": 0.1 * seed, "families": 10.0 * seed, "shrinkage_error": 0.5 * error},
    )


def test_parts_are_joined_by_their_evidences():
    parts = part_of(50, -10.0, 0.1, 1), part_of(70, -10.0 - np.log(3), 0.4, 2)
    found = joined(parts)
    assert found.log_evidence == pytest.approx(-10 + np.log(4 / 3))
    assert found.log_evidence_error == pytest.approx(np.hypot(0.75 * 0.1, 0.25 * 0.4))
    assert found.diagnostics["shrinkage_error"] == pytest.approx(0.5 * found.log_evidence_error)
    # 1/families is the probability that two draws from the posterior are of one family.
    assert 1 / found.diagnostics["families"] == pytest.approx(0.75**2 / 10 + 0.25**2 / 20)
    assert found.diagnostics["acceptance"] == pytest.approx(0.75 * 0.1 + 0.25 * 0.2)
    assert found.diagnostics["runs"] == 2
    assert found.calls == 300
    assert found.seconds == 30
    assert found.converged
    weights = np.exp(found.log_weights)
    assert weights[:50].sum() == pytest.approx(0.75)
    assert weights[50:].sum() == pytest.approx(0.25)
    assert found.information == pytest.approx(weights @ found.log_likelihood - found.log_evidence)
    assert not joined((*parts, part_of(5, -11.0, 0.1, 3))).converged
    assert joined(parts[:1]) is parts[0]


def test_a_proposal_draws_from_itself_whatever_its_rivals():
    first, second = strata_of(KNOWN.problem, KNOWN.modes)
    u = np.random.default_rng(1).random((100, 19))
    alone = make_proposal(18, first.mixture, jnp.float64)
    rivalled = make_proposal(18, first.mixture, jnp.float64, rivals_of([first, second])[0])
    np.testing.assert_array_equal(from_cube(alone, u), from_cube(rivalled, u))
