"""Independent draws by randomised maximum likelihood, and strata where they tell that a posterior is not covered."""

from __future__ import annotations

import dataclasses
from functools import cache

import analytic
import numpy as np
import pytest
from scipy.stats import chi2

from galfit_sr.inference import coverage
from galfit_sr.inference.answer import FirstAnswer
from galfit_sr.inference.coverage import covering
from galfit_sr.inference.fit import first_answer
from galfit_sr.inference.maximum import Mode, modes_at, perturbed
from galfit_sr.inference.mixture import laplace_mixture
from galfit_sr.inference.strata import Stratum, log_weights
from galfit_sr.inference.variational import Bent
from galfit_sr.maps import TYPICAL_NOISE
from galfit_sr.model.galaxy import GalaxyModel
from galfit_sr.model.grid import Canvas
from galfit_sr.observations.mock import MOCK_TRUTH, make_mock

ALIKE = {"log10_disc1_radius": 1.1, "log10_disc2_radius": 1.4, "log10_disc1_mass": 9.4, "log10_disc2_mass": 10.2}


@cache
def answer(components: tuple[str, ...]) -> FirstAnswer:
    """Of a posterior that is about Gaussian with one disc, and bent with two of like size."""
    model = GalaxyModel(components=components, canvas=Canvas(12, 3.0), fidelity="point")
    galaxy = make_mock({**MOCK_TRUTH, **ALIKE}, model=model, fibres=0, errors=TYPICAL_NOISE, seed=1)
    return first_answer(galaxy, model=model)


ONE, TWO = ("disc1", "halo"), ("disc1", "disc2", "halo")


@pytest.fixture
def unbent(monkeypatch):
    """Gaussians instead of flows, and no straightening: fast, and far from covering a bent posterior."""
    monkeypatch.setattr(coverage, "straightened", lambda problem, modes, seed, progress: (problem, modes, 0))
    monkeypatch.setattr(
        coverage,
        "bend",
        lambda problem, modes, seed, progress, best: Bent(laplace_mixture(modes), modes[0].log_evidence, 0),
    )


def test_perturbed_maxima_are_draws_where_the_posterior_is_gaussian():
    found = answer(ONE)
    (mode, *_), count = found.modes, 100
    draws, calls = perturbed(found.problem, (mode,), count, 1)
    assert calls >= count
    # Wide priors are seen in the wide directions; the posterior is Gaussian along those that data pin.
    pinned = np.sqrt(np.diag(mode.covariance)) < 0.05
    assert np.sum(pinned) >= 3
    own = np.linalg.cholesky(mode.covariance[np.ix_(pinned, pinned)])
    white = np.linalg.solve(own, (draws - mode.z)[:, pinned].T)
    total = np.sum(white**2)
    low, high = chi2(white.size).ppf([5e-4, 1 - 5e-4])
    assert low < total < high
    assert len(np.unique(draws[:, 0])) == count


def test_what_a_maximum_would_be_anywhere():
    """Of the modes themselves it is what the search gave."""
    found = answer(TWO)
    for mode, again in zip(found.modes, modes_at(found.problem, np.stack([m.z for m in found.modes])), strict=True):
        assert again.log_posterior == pytest.approx(mode.log_posterior, abs=1e-6)
        np.testing.assert_allclose(again.covariance, mode.covariance, rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize("share", [0.25, 1 / 64, 0])
def test_strata_begin_where_the_posterior_is_not_covered(unbent, monkeypatch, share):
    """Of two modes only one is known; draws tell of the other, one is enough."""
    known, rng = analytic.two_modes(), np.random.default_rng(1)
    first, second = known.modes
    counts = 64 - round(64 * share), round(64 * share)
    draws = [rng.multivariate_normal(m.z, m.covariance, n) for m, n in zip(known.modes, counts, strict=True)]
    monkeypatch.setattr(coverage, "perturbed", lambda problem, modes, count, seed: (np.concatenate(draws), 1000))
    monkeypatch.setattr(
        coverage,
        "modes_at",
        lambda problem, z: tuple(Mode(row, second.covariance, -0.5 * np.sum((row - second.z) ** 2)) for row in z),
    )
    strata, calls, uncovered, _ = covering(known.problem, (first,), 1)
    assert calls == 1000
    assert uncovered == 0
    assert len(strata) == 1 + (share > 0)
    np.testing.assert_array_equal(strata[0].mixture.means[0], first.z)
    if share:
        # It begins at the draw of the highest posterior density.
        nearest = draws[1][np.argmin(np.sum((draws[1] - second.z) ** 2, axis=1))]
        np.testing.assert_array_equal(strata[1].mixture.means[0], nearest)
        weights = log_weights(strata, np.concatenate(draws))
        assert np.ptp(weights) < 12
        assert np.ptp(log_weights(strata[:1], np.concatenate(draws))) > 20


def test_a_covered_posterior_needs_no_more(unbent):
    found = answer(ONE)
    strata, _, uncovered, _ = covering(found.problem, found.modes[:1], 1)
    assert len(strata) == 1
    assert uncovered == 0
    assert strata[0].problem is found.problem


def test_what_holds_nothing_of_the_posterior_is_left_out(unbent):
    """A mode 40 nats lower than the best is not even bent."""
    found = answer(ONE)
    best = found.modes[0]
    aside = best.z + np.linalg.cholesky(best.covariance) @ np.full(best.z.size, 9 / np.sqrt(best.z.size))
    (low,) = modes_at(found.problem, aside[None])
    assert low.log_evidence < best.log_evidence - 20
    strata = covering(found.problem, (best, low), 1).strata
    np.testing.assert_array_equal(strata[0].mixture.means, best.z[None])
    assert len(strata) == 1


def test_draws_begin_at_modes_that_hold_something(unbent, monkeypatch):
    """From others searches end near where they began, and would be taken for places that are not covered."""
    known = analytic.two_modes()
    best, other = known.modes
    starts = []

    def spy(problem, modes, count, seed):
        starts.append([mode.z for mode in modes])
        return np.random.default_rng(1).multivariate_normal(best.z, best.covariance, count), 0

    monkeypatch.setattr(coverage, "perturbed", spy)
    for below in (5.0, 10.0):
        off = best.log_evidence - below - other.log_evidence
        rival = dataclasses.replace(other, log_posterior=other.log_posterior + off)
        assert len(covering(known.problem, (best, rival), 1).strata) == (2 if below == 5.0 else 1)
    np.testing.assert_array_equal(starts[0], [best.z, other.z])
    np.testing.assert_array_equal(starts[1], [best.z])


def test_a_stratum_that_is_there_twice_halves_the_weights():
    found = answer(ONE)
    (mode, *_) = found.modes
    stratum = Stratum(found.problem, laplace_mixture((mode,)))
    z = mode.z + 0.1 * np.random.default_rng(1).standard_normal((20, mode.z.size))
    weights = log_weights((stratum,), z)
    assert np.std(weights) > 1
    np.testing.assert_allclose(log_weights((stratum, stratum), z), weights - np.log(2), atol=1e-9)
