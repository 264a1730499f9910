"""How a run went, in words: what a reader who never saw the code can make of its settings and diagnostics."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from ..inference.correction import khat_in_words
from ..inference.diagnosis import data_counts
from ..inference.results import Posterior
from ..maps import Observation
from .display import MAP_TITLES, setting
from .report_page import MINUS, decimals, duration

_TITLES = {"nested": "nested sampling", "nuts": "No-U-Turn sampler (NUTS)", "nss": "nested slice sampling"}
_PARTS = {"bending": "following the bends of the posterior", "exact likelihoods": "likelihoods at full resolution"}
"""Of a run, whose names do not speak for themselves."""
_STARTS = {
    "repartitioned": "the first answer, around which the prior is re-partitioned",
    "prior": "the whole prior",
}
_AGAIN = "exact "
"""Before the name of a part: once more, with the full-resolution model."""


class Facts(NamedTuple):
    """Part of what is told of a run: its title, and pairs of a phrase and a value, all of them plain text."""

    title: str
    rows: tuple[tuple[str, str], ...]


def sampler_title(posterior: Posterior) -> str:
    """What people call its sampler."""
    return _TITLES.get(posterior.sampler, posterior.sampler)


def run_facts(posterior: Posterior, observation: Observation) -> tuple[Facts, ...]:
    """What there is to tell of a run; settings that did not matter are left out.

    Args:
        posterior, observation: of the fit.
    """
    title = sampler_title(posterior)
    if posterior.correction is not None and posterior.correction["method"] == "re-weighted":
        title += f", with the emulator {posterior.emulator}"
    facts = (
        Facts("Result", (*_result(posterior), *_agreement(posterior, observation))),
        Facts("Time", tuple(_time(posterior))),
        Facts("Correction to full resolution", tuple(_correction(posterior.correction))),
        Facts("Likelihood", tuple(_likelihood(posterior))),
        Facts(f"Sampler: {title}", tuple(_sampler(posterior))),
    )
    return tuple(part for part in facts if part.rows)


def _result(posterior: Posterior) -> Iterable[tuple[str, str]]:
    if posterior.log_evidence is not None:
        yield "log evidence (natural logarithm)", _with_error(posterior.log_evidence, posterior.log_evidence_error)
    if posterior.information is not None:
        yield "information gained from the data", f"{posterior.information:.1f} nats"
    yield "converged", "yes" if posterior.converged else "no: see the warnings"
    yield "effective sample size", f"{posterior.effective_sample_size:,.0f} of {len(posterior.samples):,} samples"
    yield "highest log likelihood", decimals(float(np.max(posterior.log_likelihood)), 2)


def _agreement(posterior: Posterior, observation: Observation) -> Iterable[tuple[str, str]]:
    counts = data_counts(observation)
    for name, chi2 in posterior.reduced_chi2.items():
        yield f"reduced χ², {MAP_TITLES.get(name, name).lower()}", f"{chi2:.3f} ({counts.get(name, 0):,} data)"


def _time(posterior: Posterior) -> Iterable[tuple[str, str]]:
    yield "likelihood evaluations", f"{posterior.n_likelihood_calls:,}"
    yield "wall time", duration(posterior.wall_seconds)
    for part, seconds in posterior.timings.items():
        own = part.removeprefix(_AGAIN)
        words = _PARTS.get(part) or _PARTS.get(own, own) + (", at full resolution" if own != part else "")
        yield f"of which {words}", duration(seconds)


_METHODS = {
    "re-weighted": "the emulator's samples were weighed anew",
    "re-partitioned": "sampled at full resolution, from the emulator's posterior on",
    "replaced": "sampled at full resolution, from the emulator's first answer on",
}


def _correction(correction: Mapping[str, Any] | None) -> Iterable[tuple[str, str]]:
    if correction is None:
        return
    yield "how", _METHODS[correction["method"]]
    yield "certified", "yes" if correction["certified"] else "no: see the warnings"
    khat = f"{khat_in_words(correction)} (weights are believed up to {correction['most_khat']:.2f})".replace("-", MINUS)
    yield "k-hat, the tail index of the weights", khat
    yield (
        "effective samples after weighing",
        f"{correction['effective']:,.0f} of {correction['draws']:,} draws",
    )
    if correction["emulated_log_evidence"] is not None:
        evidence = _with_error(correction["emulated_log_evidence"], correction["emulated_log_evidence_error"])
        yield "log evidence with the emulator", evidence
    yield "likelihoods with the emulator", f"{correction['emulated_calls']:,}"
    yield "likelihoods at full resolution", f"{correction['exact_calls']:,}"


def _likelihood(posterior: Posterior) -> Iterable[tuple[str, str]]:
    settings = dict(posterior.likelihood)
    freedom = settings.pop("degrees_of_freedom", None)
    if not posterior.is_emulated:
        settings.pop("emulator_error", None)
    for name, value in settings.items():
        if name == "kind":
            of_freedom = f" with {setting(freedom)} degrees of freedom"
            yield "errors", "Gaussian" if value == "gaussian" else f"Student's t{of_freedom}"
        elif name == "weights":
            yield "weights of the maps", _weights(value)
        elif name == "correlation":
            width = f"correlated over {value:g} arcsec (FWHM)"
            yield "noise of neighbouring pixels", width if value else "independent"
        elif name == "emulator_error":
            yield "the emulator's error added to that of the data", setting(value)
        else:
            yield _spelt(name), setting(value)


def _weights(weights: Mapping[str, float]) -> str:
    if len(set(weights.values())) == 1:
        return f"{next(iter(weights.values())):g} each"
    return ", ".join(f"{MAP_TITLES.get(name, name).lower()} {weight:g}" for name, weight in weights.items())


def _sampler(posterior: Posterior) -> Iterable[tuple[str, str]]:
    settings = posterior.sampler_settings
    for name, value in settings.items():
        if value is None and name in SAMPLER_WORDS:  # a limit that was not set
            continue
        # With how many samples to end is a matter of dynamic runs and of chains.
        if settings.get("dynamic") is False and name in ("dynamic", "effective_samples"):
            continue
        phrase, written = SAMPLER_WORDS.get(name, (_spelt(name), setting))
        words = written(value)
        if name == "nlive" and settings.get("runs", 1) > 1:
            words += " (fewer in each of several runs)"
        if name == "slices" and value == 0:
            words = f"{2 * posterior.parameters.ndim}, twice the number of free parameters"
        yield phrase, words


def _spelt(name: str) -> str:
    """A name of another version, which has no phrase here."""
    return name.replace("_", " ")


def _with_error(value: float, error: float | None) -> str:
    return decimals(value, 2) + ("" if error is None else f" ± {error:.2f}")


def _whole(value: float) -> str:
    return f"{value:,.0f}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


SAMPLER_WORDS: Mapping[str, tuple[str, Callable[[Any], str]]] = {
    "nlive": ("live points", _whole),
    "walks": ("steps of the walk to a new live point", _whole),
    "slices": ("slices to a new live point", _whole),
    "draws": ("draws of the start, per live point", _whole),
    "batch": ("live points replaced at once", _whole),
    "dynamic": ("live points added where they serve the posterior", setting),
    "effective_samples": ("effective samples to end with", _whole),
    "start": ("started from", lambda start: _STARTS.get(start, start)),
    "dlogz": ("what live points may still add to the log evidence at the end", setting),
    "walkers": ("walks at once", _whole),
    "max_seconds": ("limit on the time", duration),
    "max_calls": ("limit on the likelihood evaluations", _whole),
    "chains": ("chains", _whole),
    "warmup": ("steps of warming up, not kept, per chain", _whole),
    "most_draws": ("draws per chain, at most", _whole),
    "target_acceptance": ("acceptance that the length of steps aims at", _percent),
    "acceptance": ("steps accepted", _percent),
    "families": ("independent starting points of the posterior", _whole),
    "shrinkage_error": ("error of the log evidence by the volume's shrinkage alone", lambda e: f"{e:.2f}"),
    "uncovered": ("posterior beyond the reach of the starting points", _percent),
    "runs": ("runs, one for each part of the posterior", _whole),
    "calls_per_point": ("likelihood evaluations for a new live point", _whole),
    "rhat": (
        "R-hat of the worst parameter (1 where chains agree)",
        lambda r: f"{r:.3f}" if math.isfinite(r) else "infinite",
    ),
    "effective": ("effective samples of the worst parameter", _whole),
    "divergences": ("divergent steps", _whole),
    "gradients_per_draw": ("gradients of the likelihood per draw", _whole),
}
"""Setting or diagnostic of a sampler -> what it is called, and how its value is written."""
