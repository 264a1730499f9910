"""From samples drawn with an emulator to the posterior of the exact likelihood, with a certificate."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from .importance import Weighed, weigh
from .problem import Problem, log_likelihoods
from .sampled import Sampled, information
from .statistics import equal_weight_rows

LEAST_EFFECTIVE = 400.0
"""Effective samples that re-weighting must leave: fewer do not tell the quantiles that are reported."""

_MOST_DRAWS = 2000
"""That are weighed: an exact likelihood of a thick disc takes ten milliseconds."""


@dataclasses.dataclass(frozen=True)
class Correction:
    """How a posterior drawn with an emulator became that of the exact likelihood.

    Attributes:
        method: `re-weighted`; or `re-partitioned` where the weights could not be believed and the exact likelihood was
            sampled from the emulator's posterior on; or `replaced` where the first answer was already so far off that
            nothing was sampled with the emulator, and the exact likelihood from there on.
        certified: whether the result is exact within its errors: the weights' k-hat is low enough and enough samples
            are left, or the exact run converged.
        khat: of the emulator's samples (of its first answer, in Laplace's approximation, where it was replaced) weighed
            with the exact likelihood.
        most_khat: up to which so many of them can be believed.
        draws: that were weighed.
        effective: samples that they were worth afterwards.
        emulated_log_evidence, emulated_log_evidence_error: of the run with the emulator; None for Markov chains, and
            where it was replaced.
        emulated_calls: likelihoods of the run with the emulator.
        exact_calls: evaluations of the exact likelihood.
    """

    method: str
    certified: bool
    khat: float
    most_khat: float
    draws: int
    effective: float
    emulated_log_evidence: float | None
    emulated_log_evidence_error: float | None
    emulated_calls: int
    exact_calls: int


class Reweighted(NamedTuple):
    """Equally weighted draws of a run, weighed with the exact likelihood.

    Attributes:
        z: (n, ndim) latent positions.
        weighed: their weights and k-hat.
        sampled: the posterior and evidence that follow from them.
        correction: the record of it.
    """

    z: np.ndarray
    weighed: Weighed
    sampled: Sampled
    correction: Correction


def reweigh(problem: Problem, run: Sampled, seed: int) -> Reweighted:
    """Weighs a run's samples with another likelihood.

    As many draws as the samples are worth, two thousand at most, get the ratio of the likelihoods as their weight,
    Pareto-smoothed; the mean ratio is that of the evidences.

    Args:
        problem: with the exact likelihood, and the latent coordinates of the run.
        run: with an approximate likelihood of the same data.
        seed: of the draws.
    """
    count = min(int(np.ceil(run.effective_sample_size)), _MOST_DRAWS)
    rows = equal_weight_rows(np.exp(run.log_weights), count, seed)
    z = run.z[rows]
    exact = log_likelihoods(problem, z) + problem.offset
    weighed = weigh(exact - run.log_likelihood[rows])
    evidence = evidence_error = None
    if run.log_evidence is not None and run.log_evidence_error is not None:
        evidence = run.log_evidence + weighed.log_mean
        evidence_error = float(np.hypot(run.log_evidence_error, weighed.log_mean_error))
    certified = run.converged and weighed.certified and weighed.effective >= LEAST_EFFECTIVE
    sampled = Sampled(
        z,
        weighed.log_weights,
        exact,
        evidence,
        evidence_error,
        None if evidence is None else information(weighed.log_weights, exact, evidence),
        run.calls + count,
        run.seconds,
        certified,
        diagnostics=run.diagnostics,
    )
    correction = Correction(
        "re-weighted",
        certified,
        weighed.khat,
        weighed.most_khat,
        count,
        weighed.effective,
        run.log_evidence,
        run.log_evidence_error,
        run.calls,
        count,
    )
    return Reweighted(z, weighed, sampled, correction)


def sampled_on(correction: Correction, method: str, exact: Sampled, calls: int) -> Correction:
    """The record of a run with the exact likelihood that went on where re-weighting failed.

    Args:
        correction: of the re-weighting.
        method: `re-partitioned` or `replaced`.
        exact: what the run found.
        calls: evaluations of the exact likelihood on the way to it and in it.
    """
    return dataclasses.replace(
        correction,
        method=method,
        certified=exact.converged,
        exact_calls=correction.exact_calls + calls,
    )


def khat_in_words(correction: Mapping[str, Any]) -> str:
    """The k-hat of a correction; JSON keeps an infinite one as None."""
    khat = correction["khat"]
    return "infinite" if khat is None or not math.isfinite(khat) else f"{khat:.2f}"


def in_words(correction: Mapping[str, Any]) -> str:
    """The record of a correction, as a `Posterior` holds it, in a sentence."""
    made = (
        f"weighed with the full-resolution likelihood (k-hat {khat_in_words(correction)}, up to"
        f" {correction['most_khat']:.2f} can be believed; {correction['effective']:.0f} effective of"
        f" {correction['draws']} draws)"
    )
    begun = f"the full-resolution likelihood was sampled from there on ({correction['exact_calls']:,} evaluations)"
    if correction["method"] == "re-partitioned":
        made += f", which was not enough, and {begun}"
    if correction["method"] == "replaced":
        made += f", and is so far off that nothing was sampled with the emulator; {begun}"
    evidence = ""
    if correction["emulated_log_evidence"] is not None:
        error = correction["emulated_log_evidence_error"]
        evidence = f" (log evidence {correction['emulated_log_evidence']:.2f} +- {error:.2f})"
    state = "" if correction["certified"] else "; this is not certified"
    what = "The first answer" if correction["method"] == "replaced" else "What was sampled"
    return f"{what} with the emulator{evidence} was {made}{state}."
