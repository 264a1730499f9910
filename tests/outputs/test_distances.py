"""Distances of marginals against closed forms, and their Monte Carlo errors against the scatter of many samples."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm, wasserstein_distance

from galfit_sr.analysis.distances import BINS, MEASURES, Samples, compare_marginals
from galfit_sr.inference.statistics import reweighted

SHIFT, RATIO = 0.5, 1.3


def weighted(x, weights, log_volume=None):
    """Samples worth Kish's number."""
    return Samples(x[:, None], weights / weights.sum(), weights.sum() ** 2 / np.sum(weights**2), log_volume)


def gaussian(mean, std, n, seed, wider=1.3):
    """Weighted samples: those of a wider Gaussian, weighted to the one asked for."""
    x = np.random.default_rng(seed).normal(mean, wider * std, size=n)
    weights = norm.pdf(x, mean, std) / norm.pdf(x, mean, wider * std)
    return weighted(x, weights)


def measured(reference, other, seed=0):
    (row,) = compare_marginals(reference, other, seed)
    assert tuple(row) == MEASURES
    return row


def jensen_shannon(p, q):
    """Square root of the divergence in bits of two densities or lists of probabilities."""

    def term(a, b):
        return a * np.log2(2 * a / (a + b))

    if callable(p):
        return np.sqrt(quad(lambda x: 0.5 * (term(p(x), q(x)) + term(q(x), p(x))), -9, 9)[0])
    return np.sqrt(0.5 * np.sum(term(p, q) + term(q, p)))


def truth():
    """The measures of N(SHIFT, RATIO) against N(0, 1)."""
    # Both increase with the same standard normal Z: the distance is the mean of |SHIFT + (RATIO - 1) Z|.
    ratio = SHIFT / (RATIO - 1)
    wasserstein = (RATIO - 1) * (2 * norm.pdf(ratio) + ratio * (2 * norm.cdf(ratio) - 1))
    return {
        "shift": SHIFT,
        "width_ratio": RATIO,
        "wasserstein": wasserstein,
        "jensen_shannon": jensen_shannon(norm(0, 1).pdf, norm(SHIFT, RATIO).pdf),
    }


@pytest.fixture(scope="module")
def found():
    """Measures of the two Gaussians, and those of the same samples without their weights."""
    pair = gaussian(0, 1, 8000, 1, wider=1.8), gaussian(SHIFT, RATIO, 6000, 2)
    return measured(*pair), measured(*(s._replace(weights=np.full(len(s.weights), 1 / len(s.weights))) for s in pair))


@pytest.mark.parametrize("name", MEASURES)
def test_two_gaussians_are_as_far_apart_as_they_are(found, name):
    weighted, unweighted = (row[name] for row in found)
    # Bins hide a little, finite samples add a little: both are below half an error here.
    allowed = 4.5 * weighted.error
    assert abs(weighted.value - truth()[name]) < allowed
    assert weighted.significant
    assert abs(unweighted.value - truth()[name]) > allowed


def test_units_do_not_matter():
    reference, other = gaussian(0, 1, 2000, 1), gaussian(SHIFT, RATIO, 2000, 2)
    expected = measured(reference, other)
    scaled = measured(*(s._replace(values=1e-3 * s.values + 7) for s in (reference, other)))
    for name in MEASURES:
        # Seven over a thousandth: four of sixteen digits are lost, and their squares in the widths.
        assert scaled[name].value == pytest.approx(expected[name].value, rel=1e-9)
        assert scaled[name].error == pytest.approx(expected[name].error, rel=1e-6)


def test_wasserstein_is_scipys():
    reference, other = gaussian(0, 1, 500, 1), gaussian(SHIFT, RATIO, 700, 2)
    expected = wasserstein_distance(
        reference.values[:, 0], other.values[:, 0], u_weights=reference.weights, v_weights=other.weights
    )
    mean = reference.weights @ reference.values[:, 0]
    width = np.sqrt(reference.weights @ (reference.values[:, 0] - mean) ** 2)
    assert measured(reference, other)["wasserstein"].value == pytest.approx(expected / width, rel=1e-12)


def test_the_same_samples_are_not_apart():
    samples = gaussian(0, 1, 1000, 1)
    row = measured(samples, samples)
    assert [row[name].value for name in MEASURES] == pytest.approx([0, 1, 0, 0], abs=1e-7)
    assert not any(row[name].significant for name in MEASURES)


def test_marginals_without_overlap_are_one_bit_apart():
    row = measured(gaussian(0, 1, 1000, 1), gaussian(50, 1, 1000, 2))
    # One sample may be in a bin of the others: of a thousand, a share of 1e-3 of the divergence and more or less.
    assert row["jensen_shannon"].value == pytest.approx(1, abs=2e-3)


def test_bins_hide_little():
    edges = norm.ppf(np.arange(1, BINS) / BINS)
    # Bins of equal probability of the reference instead of both: nearly the same for marginals this close.
    p, q = (np.diff(norm.cdf(edges, m), prepend=0, append=1) for m in (0, SHIFT))
    hidden = 1 - jensen_shannon(p, q) / jensen_shannon(norm(0, 1).pdf, norm(SHIFT, 1).pdf)
    assert 0 < hidden < 0.02


def drawn(mean, std, n, rng):
    """Samples that all count the same."""
    return Samples(rng.normal(mean, std, size=(n, 1)), np.full(n, 1 / n), n)


PAIRS = 40
KNOWN = 1 / np.sqrt(2 * (PAIRS - 1))
"""Relative error of a standard deviation of as many numbers as there are pairs."""


@pytest.fixture(scope="module")
def repeated():
    """Measures of independent pairs of equal Gaussians, and of as many pairs that differ."""
    rng = np.random.default_rng(1)
    kinds = ((0, 1), (SHIFT, RATIO))
    return [[measured(drawn(0, 1, 400, rng), drawn(*kind, 300, rng), i) for i in range(PAIRS)] for kind in kinds]


@pytest.mark.parametrize("name", MEASURES)
def test_errors_are_the_scatter_between_samples(repeated, name):
    scatter = np.std([row[name].value for row in repeated[1]], ddof=1)
    error = np.mean([row[name].error for row in repeated[1]])
    assert abs(scatter / error - 1) < 4 * KNOWN


@pytest.mark.parametrize("name", MEASURES)
def test_expected_is_what_equal_distributions_give(repeated, name):
    values = np.array([row[name].value for row in repeated[0]])
    expected = np.mean([row[name].expected for row in repeated[0]])
    assert abs(values.mean() - expected) < 4 * np.std(values, ddof=1) / np.sqrt(PAIRS)
    assert sum(row[name].significant for row in repeated[0]) <= 1
    assert sum(row[name].significant for row in repeated[1]) > PAIRS / 2


def test_a_seed_repeats_itself():
    pair = gaussian(0, 1, 300, 1), gaussian(0, 1, 300, 2)
    assert measured(*pair, seed=3) == measured(*pair, seed=3)
    assert measured(*pair, seed=3) != measured(*pair, seed=4)


def nested(live, seed):
    """Samples of a static nested run on a standard normal in a flat prior of half-width 40, without walks."""
    rng = np.random.default_rng(seed)
    n = 9 * live
    true = np.cumsum(np.log(rng.uniform(size=n)) / live)
    x = 40 * np.exp(true) * rng.choice([-1, 1], size=n)
    log_volume = -np.arange(1, n + 1) * np.log1p(1 / live)
    weights = np.exp(-0.5 * x**2 + log_volume)
    return weighted(x, weights, log_volume)


def test_volumes_of_nested_samples_count_in_the_widths():
    runs = [nested(40, seed) for seed in range(2 * PAIRS)]
    pairs = list(zip(runs[::2], runs[1::2], strict=True))
    ratios = [measured(*pair)["width_ratio"] for pair in pairs]
    scatter = np.std([ratio.value for ratio in ratios], ddof=1)
    error = np.mean([ratio.error for ratio in ratios])
    without = np.mean([measured(*(s._replace(log_volume=None) for s in pair))["width_ratio"].error for pair in pairs])
    assert abs(scatter / error - 1) < 4 * KNOWN
    assert without < 0.9 * error


def test_volumes_scatter_as_those_of_nested_runs_do():
    """Of two runs that follow each other, each by itself."""
    live, n, m = 100, 700, 2000
    log_volume = np.concatenate([-np.arange(1, n + 1) * np.log1p(1 / live), -np.arange(1, 201) * np.log1p(1 / 50)])
    found = reweighted(np.full(n + 200, 1 / (n + 200)), log_volume, m, np.random.default_rng(2))
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-12)

    def drift(first: int, last: int, expected: float) -> None:
        logs = np.log(found[:, last] / found[:, first])
        assert abs(logs.mean()) < 4 * expected / np.sqrt(m)
        assert abs(logs.std() / expected - 1) < 4 / np.sqrt(2 * m)

    # Between the first and the last point lie n - 1 steps, each of which scatters by its mean 1/live.
    drift(0, n - 1, np.sqrt(n - 1) / live)
    drift(n, n + 199, np.sqrt(199) / 50)
    drift(0, n, np.hypot(1 / live, 1 / 50))
