"""One posterior against another of the same data: every quantity that both have, and the evidence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..errors import InputError
from ..inference.results import Posterior
from .display import all_columns, on_branch, parameter_columns
from .distances import Measure, Samples, compare_marginals


class Fit(NamedTuple):
    """A posterior and what to call it."""

    label: str
    posterior: Posterior


class Row(NamedTuple):
    """One quantity in two posteriors.

    Attributes:
        name, unit: of the quantity, angles in degrees as people use them (`position_angle_deg`, `inclination_deg`).
        free: whether it is a parameter; otherwise it is derived from them.
        reference: (mean, standard deviation) in the reference.
        other: the same in the other posterior.
        measures: one for each of `distances.MEASURES`.
    """

    name: str
    unit: str
    free: bool
    reference: tuple[float, float]
    other: tuple[float, float]
    measures: dict[str, Measure]


class Contrast(NamedTuple):
    """One posterior against the reference.

    Attributes:
        label: of the posterior.
        rows: of the quantities that both have, parameters first.
        left_out: names of those that are free in only one of the two.
        log_evidence_difference: natural logarithm, this one less the reference; None where one has no evidence.
        log_evidence_difference_error: its standard deviation, the two evidences being independent.
    """

    label: str
    rows: tuple[Row, ...]
    left_out: tuple[str, ...]
    log_evidence_difference: float | None
    log_evidence_difference_error: float | None


def contrast(reference: Posterior, fit: Fit, seed: int) -> Contrast:
    """Compares a posterior with a reference, quantity by quantity.

    Args:
        reference: of the same data.
        fit: what to compare with it.
        seed: of the bootstrap that gives the Monte Carlo errors.

    Raises:
        InputError: they have no quantity in common.
    """
    other = fit.posterior
    # What is fixed has no width to measure with.
    first, second = ({c.name: c for c in all_columns(p) if np.ptp(c.values) > 0} for p in (reference, other))
    common = [name for name in first if name in second]
    if not common:
        raise InputError(f"{fit.label} has no quantity in common with the reference; nothing can be compared")
    moved = [on_branch(second[name].values, first[name], reference.weights) for name in common]
    samples = _samples(reference, [first[name].values for name in common])
    others = _samples(other, moved)
    free = {column.name for column in parameter_columns(reference)}
    measured = zip(common, samples.values.T, moved, compare_marginals(samples, others, seed), strict=True)
    rows = tuple(
        Row(name, first[name].unit, name in free, _moments(a, reference), _moments(b, other), measures)
        for name, a, b, measures in measured
    )
    return Contrast(
        fit.label, rows, tuple(sorted(first.keys() ^ second.keys())), *_evidence_difference(reference, other)
    )


def _samples(posterior: Posterior, columns: Sequence[np.ndarray]) -> Samples:
    return Samples(np.column_stack(columns), posterior.weights, posterior.effective_sample_size, posterior.log_volume)


def _moments(values: np.ndarray, posterior: Posterior) -> tuple[float, float]:
    mean = float(np.sum(posterior.weights * values))
    return mean, float(np.sqrt(np.sum(posterior.weights * (values - mean) ** 2)))


def _evidence_difference(reference: Posterior, other: Posterior) -> tuple[float | None, float | None]:
    if reference.log_evidence is None or other.log_evidence is None:
        return None, None
    difference = other.log_evidence - reference.log_evidence
    if reference.log_evidence_error is None or other.log_evidence_error is None:
        return difference, None
    return difference, math.hypot(reference.log_evidence_error, other.log_evidence_error)
