"""What relations between samples mean for the evidence, on simulated nested runs."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad

from galfit_sr.inference.lineage import births, families, family_error, relatedness
from galfit_sr.inference.sampled import evidence_error

SHARE, TOP = 0.1, 20.0
"""Of the prior's volume, and its highest log-likelihood: a small region that holds the posterior. The other one, and
the edges of both, lie lower."""
EDGE = -50.0


def height(x: np.ndarray, top: float) -> np.ndarray:
    """Log-likelihood where a share x of a region lies higher: a Gaussian in six dimensions, cut at its edge."""
    return top - (top - EDGE) * x ** (1 / 3)


def run(seed: int, live: int, connected: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Likelihoods, families and births of a perfect nested run.

    A new point is drawn from the region of a random live point, or from both by their volumes if they are connected.
    """
    rng = np.random.default_rng(seed)
    tops = np.array([0.0, TOP])

    def draw(region, floor):
        highest = ((tops[region] - floor) / (tops[region] - EDGE)) ** 3
        return height(rng.random() * highest, tops[region])

    region = (rng.random(live) < SHARE).astype(int)
    value = np.array([draw(r, EDGE) for r in region])
    family, born = np.arange(live), np.full(live, -1)
    dead = []
    # To the end of the posterior: e^-9 of the small region.
    for step in range(int(live * (9 - np.log(SHARE)))):
        worst = np.argmin(value)
        floor = value[worst]
        dead.append((floor, family[worst], born[worst]))
        parent = rng.choice(np.flatnonzero(np.arange(live) != worst))
        volumes = np.maximum((tops - floor) / (tops - EDGE), 0) ** 3 * [1 - SHARE, SHARE]
        chosen = int(rng.random() < volumes[1] / volumes.sum()) if connected else region[parent]
        region[worst], value[worst] = chosen, draw(chosen, floor)
        family[worst], born[worst] = family[parent], step
    order = np.argsort(value)
    dead += zip(value[order], family[order], born[order], strict=True)
    return tuple(np.array(column) for column in zip(*dead, strict=True))


TRUTH = np.log(
    sum(
        share * quad(lambda x, t=top: np.exp(height(x, t)), 0, 1, points=[0.01])[0]
        for share, top in ((1 - SHARE, 0.0), (SHARE, TOP))
    )
)


def evidences(seeds: range, live: int, connected: bool) -> np.ndarray:
    """(s, 3) log evidence less the truth, the error by shrinkage alone, and that by families."""
    found = []
    for seed in seeds:
        value, family, born = run(seed, live, connected)
        steps = value.size - live
        alive = np.concatenate([np.full(steps, live), np.arange(live, 0, -1)])
        shrinkage = -np.log1p(1 / alive)
        log_volume = np.cumsum(shrinkage)
        log_weights = value + log_volume + np.log(np.expm1(-shrinkage))
        evidence = np.logaddexp.reduce(log_weights)
        weights = np.exp(log_weights - evidence)
        within = evidence_error(weights, log_volume, relatedness(family, born))
        by_families = np.hypot(within, family_error(weights, log_volume, family, born))
        found.append((evidence - TRUTH, evidence_error(weights, log_volume), by_families))
    return np.array(found)


def test_error_by_families_is_that_of_the_evidence_where_regions_do_not_mix():
    off, by_shrinkage, by_families = evidences(range(40), 200, connected=False).T
    # The variance of 40 ratios has an error of sqrt(2/40); three of them.
    allowed = 3 * np.sqrt(2 / 40)
    assert abs(np.mean((off / by_families) ** 2) - 1) < allowed
    assert np.mean((off / by_shrinkage) ** 2) > 1 + allowed


def test_error_by_families_is_the_usual_one_where_regions_mix():
    off, by_shrinkage, by_families = evidences(range(100), 100, connected=True).T
    assert abs(np.mean((off / by_families) ** 2) - 1) < 3 * np.sqrt(2 / 100)
    allowed = 3 * np.std(by_families**2) / np.sqrt(100)
    assert allowed < 0.15 * np.mean(by_shrinkage**2)
    assert abs(np.mean(by_families**2) - np.mean(by_shrinkage**2)) < allowed


def test_births_follow_the_places_of_live_points():
    thread = np.array([0, 1, 0, 2, 1, 0, 2])
    born = births(thread, np.zeros(7, dtype=int), np.array([-1]))
    np.testing.assert_array_equal(born, [-1, -1, 0, -1, 1, 2, 3])


def test_first_points_of_a_later_batch_are_born_at_its_floor():
    thread, batch = np.array([0, 0, 1, 0, 1]), np.array([0, 0, 1, 0, 1])
    np.testing.assert_array_equal(births(thread, batch, np.array([-1, 0])), [-1, 0, 0, 1, 2])


def test_number_of_families():
    assert families(np.array([0.3, 0.7, 0.3, 0.9]), np.array([1.0, 2.0, 1.0, 0.0])) == pytest.approx(2.0)


def test_relatedness_counts_the_living():
    # Families 5, 5, 8; when the second dies a child of the third has been born.
    family, born = np.array([5, 5, 8, 8]), np.array([-1, -1, -1, 0])
    np.testing.assert_allclose(relatedness(family, born), [5 / 9, 5 / 9, 1.0, 1.0])
