"""Warnings appear where they are due, and nowhere else."""

import dataclasses

import numpy as np
import numpyro.distributions as dist
import pytest

from galfit_sr.inference.diagnosis import (
    convergence,
    data_counts,
    diagnose,
    low_inclination,
    marginal_modes,
    prior_edges,
    separate_modes,
    unfit,
)


def with_column(posterior, name, values):
    samples = posterior.samples.copy()
    samples[:, posterior.parameters.names.index(name)] = values
    return dataclasses.replace(posterior, samples=samples)


def test_good_fit_raises_only_the_notes_of_the_data(posterior, observation):
    assert diagnose(posterior, observation) == observation.notes


def test_bins_are_counted_once(observation):
    counts = data_counts(observation)
    assert counts["brightness"] == int(observation.good.brightness.sum())
    assert counts["velocity"] * 4 == int(observation.good.velocity.sum())
    assert "ml" not in counts
    unbinned = data_counts(dataclasses.replace(observation, bins=None))
    assert unbinned["velocity"] == 4 * counts["velocity"]


def test_runs_that_were_cut_short_say_so(posterior):
    (warning,) = convergence(dataclasses.replace(posterior, converged=False))
    assert "partial result" in warning


def test_few_effective_samples(posterior):
    log_weights = np.full(len(posterior.samples), -800.0)
    log_weights[:50] = -np.log(50)
    (warning,) = convergence(dataclasses.replace(posterior, log_weights=log_weights))
    assert "worth only 50 independent ones" in warning


def test_few_families_are_named_where_they_widen_the_error_of_the_evidence(posterior):
    def warned(error: float) -> list[str]:
        settings = {"families": 2.3, "shrinkage_error": 0.2}
        return convergence(dataclasses.replace(posterior, log_evidence_error=error, sampler_settings=settings))

    assert warned(0.29) == []
    (warning,) = warned(0.31)
    assert all(part in warning for part in ("2.3", "0.31", "another seed"))


def test_what_no_run_reached_is_told(posterior):
    def warned(share: float) -> list[str]:
        settings = {**posterior.sampler_settings, "uncovered": share}
        return convergence(dataclasses.replace(posterior, sampler_settings=settings))

    assert warned(2 / 64) == []
    (warning,) = warned(0.14)
    assert "About 14 % of the posterior" in warning


@pytest.mark.parametrize(("chi2", "word"), [(3.0, "does not describe"), (0.3, "overestimated")])
def test_reduced_chi2_is_flagged_on_both_sides(posterior, observation, chi2, word):
    posterior = dataclasses.replace(posterior, reduced_chi2={"brightness": 1.01, "velocity": chi2})
    (warning,) = unfit(posterior.reduced_chi2, observation)
    assert word in warning
    assert f"velocity map is {chi2:.2f}" in warning
    assert "bins" in warning


def test_reduced_chi2_is_judged_by_the_number_of_data(posterior, observation):
    """5 sigma of ln(chi^2_nu) is 5 sqrt(2 / N): a factor 1.6 for 240 pixels, but 4.9 for 20."""
    off = dataclasses.replace(posterior, reduced_chi2={"brightness": 1.8})
    assert data_counts(observation)["brightness"] > 200
    assert len(unfit(off.reduced_chi2, observation)) == 1
    few = np.zeros_like(observation.good.brightness)
    few[10:14, 10:15] = True
    small = dataclasses.replace(observation, good=observation.good._replace(brightness=few))
    assert unfit(off.reduced_chi2, small) == []


def test_chi2_that_is_no_number_is_flagged(posterior, observation):
    off = dataclasses.replace(posterior, reduced_chi2={"brightness": float("nan")})
    assert len(unfit(off.reduced_chi2, observation)) == 1


def test_posterior_at_an_edge_of_its_prior(posterior):
    rng = np.random.default_rng(0)
    n = len(posterior.samples)
    high = 15 - np.abs(rng.normal(0, 0.5, n))
    (warning,) = prior_edges(with_column(posterior, "halo_concentration", high))
    assert "halo_concentration" in warning
    assert "upper edge" in warning
    assert "15" in warning
    low = 5 + np.abs(rng.normal(0, 0.5, n))
    (warning,) = prior_edges(with_column(posterior, "halo_concentration", low))
    assert "lower edge" in warning


def test_posterior_that_is_its_prior_is_no_edge(posterior):
    flat = np.random.default_rng(0).uniform(5, 15, len(posterior.samples))
    assert prior_edges(with_column(posterior, "halo_concentration", flat)) == []


def test_periodic_and_unbounded_parameters_have_no_edge(posterior):
    assert prior_edges(with_column(posterior, "position_angle", np.full(len(posterior.samples), np.pi - 1e-3))) == []
    parameters = posterior.parameters.replace("inclination", prior=dist.Normal(0.8, 0.1))
    unbounded = dataclasses.replace(posterior, parameters=parameters)
    assert prior_edges(with_column(unbounded, "inclination", np.full(len(posterior.samples), 0.1))) == []


def test_low_inclination(posterior):
    assert low_inclination(posterior) == []
    (warning,) = low_inclination(with_column(posterior, "inclination", np.full(len(posterior.samples), 0.35)))
    assert "20 deg" in warning


def test_two_modes_are_named_with_their_shares(posterior):
    # Thirty percent of the weight, independently of the other parameters.
    second = np.random.default_rng(1).random(len(posterior.samples)) < 0.3
    values = posterior.samples[:, posterior.parameters.names.index("log10_disc1_mass")] + 0.5 * second
    share = 100 * posterior.weights[second].sum()
    (warning,) = separate_modes(with_column(posterior, "log10_disc1_mass", values))
    assert "log10_disc1_mass has 2 separate modes" in warning
    assert f"({100 - share:.0f} %)" in warning
    assert f"({share:.0f} %)" in warning


def test_one_mode_across_the_end_of_a_circle_is_one(posterior):
    wrapped = posterior.samples[:, posterior.parameters.names.index("position_angle")]
    assert wrapped.min() < -3
    assert wrapped.max() > 3
    assert separate_modes(posterior) == []


@pytest.mark.parametrize("seed", range(20))
def test_noise_makes_no_modes(seed):
    """Skewed and heavy-tailed single-mode densities, 500 samples each: no false alarm in twenty seeds of each."""
    rng = np.random.default_rng(seed)
    weights = np.full(500, 1 / 500)
    for values in (rng.normal(size=500), rng.exponential(size=500), rng.standard_t(4, size=500), rng.uniform(size=500)):
        assert len(marginal_modes(values, weights, 500)) == 1


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_bulk_at_the_end_of_the_grid_is_one_mode(sign):
    """Three samples of a thousand lie ten thousand widths away, on one side."""
    values = np.random.default_rng(0).standard_normal(1000)
    values[:3] = 1e4 * sign
    ((place, share),) = marginal_modes(values, np.full(1000, 1e-3), 1000.0)
    assert abs(place) < 1e4 / 100
    assert share > 0.99
