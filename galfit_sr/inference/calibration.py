"""Whether the ranks of truths in their posteriors are uniform, and how often intervals hold the truth."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

LEVELS = (0.68, 0.95)
"""Of the central intervals whose coverage is measured."""
SIGNIFICANCE = 0.01
"""Below which a corrected p-value rejects."""
_SIMULATIONS = 10_000
_DISTANCE_ERROR = np.sqrt(np.pi**2 / 12 - np.pi / 2 * np.log(2) ** 2)
"""Standard deviation of Kolmogorov's distribution."""


class Test(NamedTuple):
    """One test of the hypothesis that posteriors are right.

    Attributes:
        value: that is tested.
        error: its standard deviation if posteriors are right.
        p: probability of a value at least as far off, if they are.
        corrected: the same for all tests of a family at once (Holm 1979, Scand. J. Stat. 6, 65).
    """

    value: float
    error: float
    p: float
    corrected: float

    @property
    def rejects(self) -> bool:
        """Whether posteriors are not right."""
        return self.corrected < SIGNIFICANCE


class Row(NamedTuple):
    """What is known of one parameter.

    Attributes:
        name: of it.
        offset: mean of the normal scores of the ranks, 0 if posteriors are right; positive if they lie too low.
        uniformity: of the ranks, by the distance of Kolmogorov and Smirnov.
        scatter: root mean square of the normal scores, 1 if posteriors are right; more if they are too narrow.
        coverage: of the central intervals of `LEVELS`.
    """

    name: str
    offset: float
    uniformity: Test
    scatter: Test
    coverage: tuple[Test, ...]


@dataclasses.dataclass(frozen=True)
class Judgement:
    """Verdict over the posteriors of some mocks.

    Attributes:
        rows: of the parameters.
        pooled: coverage of the intervals of all parameters together, for each of `LEVELS`.
    """

    rows: tuple[Row, ...]
    pooled: tuple[Test, ...]

    @property
    def reasons(self) -> tuple[str, ...]:
        """A sentence for each parameter with a test that rejects, and one for all of them together."""
        sentences = [sentence for row in self.rows if (sentence := _reason(row))]
        if any(test.rejects for test in self.pooled):
            sentences.append(f"all parameters together: {_coverages(self.pooled)}")
        return tuple(sentences)

    @property
    def passed(self) -> bool:
        """Whether no test rejects."""
        return not self.reasons


def judge(names: Sequence[str], ranks: np.ndarray) -> Judgement:
    """Tests the ranks of some mocks.

    For each parameter: Kolmogorov and Smirnov's distance of the ranks from uniform ones, which sees a bias; the sum of
    the squared normal scores, chi^2 distributed, two-sided, which sees errors that are too small or too large; and the
    number of central intervals that hold the truth, binomial. Each kind of test is a family, corrected for the number
    of its tests by Holm's method. Coverage of all parameters together is tested by Student's t: those of one mock are
    correlated, so that its error is the scatter from mock to mock, or that of independent parameters if that is more.

    Args:
        names: of the parameters.
        ranks: (mocks, parameters) between 0 and 1; two mocks or more.
    """
    count = len(ranks)
    scores = stats.norm.ppf(ranks)
    uniform = stats.kstest(ranks, "uniform", axis=0)
    squares = np.sum(scores**2, axis=0)
    scatter_p = 2 * np.minimum(stats.chi2.cdf(squares, count), stats.chi2.sf(squares, count))
    inside = np.abs(ranks[..., None] - 0.5) < np.asarray(LEVELS) / 2
    coverage_p = np.array(
        [
            [stats.binomtest(int(k), count, level).pvalue for k, level in zip(row, LEVELS, strict=True)]
            for row in inside.sum(axis=0)
        ]
    )
    coverage_error = np.sqrt(np.asarray(LEVELS) * (1 - np.asarray(LEVELS)) / count)
    uniformity = _tests(uniform.statistic, _DISTANCE_ERROR / np.sqrt(count), uniform.pvalue)
    scatter = _tests(np.sqrt(squares / count), 1 / np.sqrt(2 * count), scatter_p)
    coverage = _tests(inside.mean(axis=0), coverage_error, coverage_p)
    rows = tuple(
        Row(name, float(offset), uniformity[i], scatter[i], tuple(coverage[i * len(LEVELS) : (i + 1) * len(LEVELS)]))
        for i, (name, offset) in enumerate(zip(names, scores.mean(axis=0), strict=True))
    )
    shares = inside.mean(axis=1)
    error = np.maximum(shares.std(axis=0, ddof=1) / np.sqrt(count), coverage_error / np.sqrt(len(names)))
    means = shares.mean(axis=0)
    pooled = _tests(means, error, 2 * stats.t.sf(np.abs(means - LEVELS) / error, count - 1))
    return Judgement(rows, tuple(pooled))


def ecdf_band(count: int, places: np.ndarray, level: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Within which the empirical distribution function of uniform ranks stays everywhere at once.

    Pointwise intervals of equal probability, widened until a share `level` of simulated samples is inside everywhere
    (Säilynoja, Bürkner & Vehtari 2022, Stat. Comput. 32, 32).

    Args:
        count: of the ranks.
        places: (k,) ascending, between 0 and 1.
        level: probability of staying inside.
        seed: of the simulations.

    Returns:
        (k,) lower and (k,) upper end of the share of ranks up to each place.
    """
    widths = np.diff(places, prepend=0.0, append=1.0)
    below = np.cumsum(np.random.default_rng(seed).multinomial(count, widths, _SIMULATIONS), axis=1)[:, :-1]
    tails = 2 * np.minimum(stats.binom.cdf(below, count, places), stats.binom.sf(below - 1, count, places))
    tail = np.quantile(tails.min(axis=1), 1 - level) / 2
    return stats.binom.ppf(tail, count, places) / count, stats.binom.isf(tail, count, places) / count


def holm(p: np.ndarray) -> np.ndarray:
    """p-values of a family of tests, any shape, each corrected for their number (Holm 1979)."""
    order = np.argsort(p, axis=None)
    stepped = np.maximum.accumulate(np.ravel(p)[order] * np.arange(p.size, 0, -1))
    corrected = np.empty(p.size)
    corrected[order] = np.minimum(stepped, 1.0)
    return corrected.reshape(p.shape)


def _tests(value: np.ndarray, error: np.ndarray | float, p: np.ndarray) -> list[Test]:
    """A family, row by row."""
    p = np.minimum(p, 1.0)
    columns = (value, np.broadcast_to(error, value.shape), p, holm(p))
    return [Test(*row) for row in zip(*(np.ravel(column).tolist() for column in columns), strict=True)]


def _reason(row: Row) -> str | None:
    found = []
    if row.uniformity.rejects:
        where = "low" if row.offset > 0 else "high"
        found.append(
            f"ranks are not uniform (p = {row.uniformity.corrected:.2g}; posteriors lie too {where} by"
            f" {abs(row.offset):.2f} of their standard deviation on average)"
        )
    if row.scatter.rejects:
        size = "small" if row.scatter.value > 1 else "large"
        found.append(
            f"errors are too {size} (p = {row.scatter.corrected:.2g}; truths scatter by {row.scatter.value:.2f} errors)"
        )
    if any(test.rejects for test in row.coverage):
        found.append(_coverages(row.coverage))
    return f"{row.name}: {', '.join(found)}" if found else None


def _coverages(tests: Sequence[Test]) -> str:
    return " and ".join(
        f"{100 * level:.0f} % intervals hold {100 * test.value:.1f} % of the truths (p = {test.corrected:.2g})"
        for level, test in zip(LEVELS, tests, strict=True)
        if test.rejects
    )
