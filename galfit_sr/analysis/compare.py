"""Posteriors of the same data side by side: what a faster or a different fit changes, and what that is worth."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import InputError
from ..inference.results import Posterior
from ..maps import MAP_NAMES, Maps, Observation
from .comparison_figures import comparison_figures, corner_overlay, rms
from .comparison_page import comparison_tables
from .comparison_text import comparison_text
from .contrast import Contrast, Fit, contrast
from .display import setting
from .emulator_error import EmulatorError, emulator_error
from .rendering import Figure, plain

LEAST_SAMPLES = 10
"""Effective samples below which a width, and with it every measure, is not known to a quarter."""


@dataclasses.dataclass(frozen=True, eq=False)
class Comparison:
    """Posteriors of the same data, the first of which is the reference for the others.

    Attributes:
        fits: label and posterior of each.
        contrasts: of each but the first with the first.
        observation: the data, None if they were not given.
        emulator_errors: label -> errors of the emulator, for the fits that have one that can be asked.
        notes: sentences on what the fits assumed differently, and on what is missing.
    """

    fits: tuple[Fit, ...]
    contrasts: tuple[Contrast, ...]
    observation: Observation | None = None
    emulator_errors: Mapping[str, EmulatorError] = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        return comparison_text(self.summary())

    def _repr_html_(self) -> str:
        return comparison_tables(self.summary())

    def summary(self) -> dict[str, Any]:
        """Everything but figures, in plain mappings, lists, numbers, texts and None, as JSON can hold them.

        `reference`: label of the first. `runs`: label -> what it cost, how it went, and costs `relative` to the
        reference's. `contrasts`: label -> difference in log evidence, `left_out`, and `quantities`, name -> unit, mean
        and std of both, and `value`, `error`, `expected` and `significant` of each of `distances.MEASURES`.
        `emulator_errors`: label -> `claimed` and `found`, map -> rms in units of the data's errors.
        """
        reference = _costs(self.fits[0].posterior)
        return plain(
            {
                "galaxy": self.fits[0].posterior.galaxy,
                "data_fingerprint": self.fits[0].posterior.data_fingerprint,
                "reference": self.fits[0].label,
                "runs": {fit.label: _run_summary(fit.posterior, reference) for fit in self.fits},
                "contrasts": {contrast.label: _contrast_summary(contrast) for contrast in self.contrasts},
                "emulator_errors": {label: _error_summary(error) for label, error in self.emulator_errors.items()},
                "notes": self.notes,
            }
        )

    def plot(self) -> Figure:
        """Marginals of the key quantities of all posteriors, over each other."""
        return corner_overlay(self.fits)

    def figures(self) -> dict[str, Figure]:
        """Name -> figure of everything that can be drawn."""
        return comparison_figures(self.fits, self.contrasts, self.observation, self.emulator_errors)


def compare(
    *posteriors: Posterior,
    observation: Observation | None = None,
    labels: Sequence[str] | None = None,
    seed: int = 0,
) -> Comparison:
    """Compares posteriors of the same data with the first of them.

    Args:
        posteriors: two or more.
        observation: the data, for maps of residuals and of the emulators' errors.
        labels: what to call the posteriors; by their predictor if not given.
        seed: of the bootstrap that gives the Monte Carlo errors.

    Raises:
        InputError: fewer than two posteriors, different data, labels that do not tell them apart, no quantity in
            common, or fewer effective samples than `LEAST_SAMPLES`.
    """
    if len(posteriors) < 2:
        raise InputError(f"{len(posteriors)} posterior to compare; at least two are needed")
    labels = _default_labels(posteriors) if labels is None else list(labels)
    if len(labels) != len(posteriors) or len(set(labels)) < len(labels):
        raise InputError(f"labels {', '.join(labels)} of {len(posteriors)} posteriors; each needs one of its own")
    fits = tuple(Fit(label, posterior) for label, posterior in zip(labels, posteriors, strict=True))
    reference = fits[0]
    for fit in fits:
        size = fit.posterior.effective_sample_size
        if size < LEAST_SAMPLES:
            raise InputError(f"{fit.label} is worth {size:.1f} samples; {LEAST_SAMPLES} or more can be compared")
        if fit.posterior.data_fingerprint != reference.posterior.data_fingerprint:
            raise InputError(
                f"{fit.label} ({_data(fit.posterior)}) was fitted to other data than {reference.label}"
                f" ({_data(reference.posterior)}); only fits of the same data can be compared"
            )
    if observation is not None and observation.fingerprint() != reference.posterior.data_fingerprint:
        raise InputError(f"the observation ({observation.name}) is not what the posteriors were fitted to")
    contrasts = tuple(contrast(reference.posterior, fit, seed) for fit in fits[1:])
    notes = tuple(note for fit in fits[1:] for note in _assumed(reference, fit))
    if observation is None:
        return Comparison(fits, contrasts, notes=notes)
    errors, missing = _emulator_errors(fits, observation)
    return Comparison(fits, contrasts, observation, errors, (*notes, *missing))


def _assumed(reference: Fit, other: Fit) -> list[str]:
    """What two fits assumed differently, so that predictor and sampler are not all that differs between them."""
    notes = []
    here, there = ({p.name: p.signature() for p in fit.posterior.parameters} for fit in (reference, other))
    differ = [name for name in {**here, **there} if here.get(name) != there.get(name)]
    if differ:
        notes.append(
            f"{other.label} and {reference.label} assume other priors, or fixed values, of {', '.join(differ)}:"
            " posteriors and evidences differ for that as well."
        )
    settings = [fit.posterior.likelihood for fit in (reference, other)]
    changed = [
        f"{name} {setting(settings[1][name])} instead of {setting(settings[0][name])}"
        for name in settings[0]
        if name in settings[1] and settings[0][name] != settings[1][name] and _matters(name, reference, other)
    ]
    if changed:
        notes.append(
            f"{other.label} has another likelihood than {reference.label} ({', '.join(changed)}): posteriors differ for"
            " that as well, and evidences cannot be compared."
        )
    return notes


def _matters(name: str, *fits: Fit) -> bool:
    """An emulator's error means nothing where there is no emulator."""
    return name != "emulator_error" or all(fit.posterior.is_emulated for fit in fits)


def _emulator_errors(fits: Sequence[Fit], observation: Observation) -> tuple[dict[str, EmulatorError], tuple[str, ...]]:
    errors, notes = {}, []
    for fit in fits:
        if not fit.posterior.is_emulated:
            continue
        try:
            errors[fit.label] = emulator_error(fit.posterior, fits[0].posterior, observation)
        except InputError as error:
            notes.append(f"The error maps of {fit.label} are left out: {error}.")
    return errors, tuple(notes)


def _default_labels(posteriors: Sequence[Posterior]) -> list[str]:
    """Their predictors, with their samplers where these differ, numbered where several have the same."""
    names = [posterior.predictor for posterior in posteriors]
    if len({posterior.sampler for posterior in posteriors}) > 1:
        names = [f"{name}, {posterior.sampler}" for name, posterior in zip(names, posteriors, strict=True)]
    seen: Counter[str] = Counter()
    labels = []
    for name in names:
        seen[name] += 1
        labels.append(f"{name} {seen[name]}" if names.count(name) > 1 else name)
    return labels


def _data(posterior: Posterior) -> str:
    return f"{posterior.galaxy or 'a galaxy'}, data {posterior.data_fingerprint[:8]}"


def _costs(posterior: Posterior) -> dict[str, float]:
    size = posterior.effective_sample_size
    return {
        "n_likelihood_calls": posterior.n_likelihood_calls,
        "wall_seconds": posterior.wall_seconds,
        "effective_sample_size": size,
        "effective_samples_per_second": size / posterior.wall_seconds,
    }


def _run_summary(posterior: Posterior, reference: Mapping[str, float]) -> dict[str, Any]:
    costs = _costs(posterior)
    return {
        "sampler": posterior.sampler,
        "predictor": posterior.predictor,
        "correction": posterior.correction,
        "seed": posterior.seed,
        "version": posterior.version,
        "converged": posterior.converged,
        "warnings": posterior.warnings,
        "reduced_chi2": posterior.reduced_chi2,
        "log_evidence": posterior.log_evidence,
        "log_evidence_error": posterior.log_evidence_error,
        **costs,
        "relative": {name: cost / reference[name] for name, cost in costs.items()},
    }


def _contrast_summary(contrast: Contrast) -> dict[str, Any]:
    return {
        "quantities": {
            row.name: {
                "unit": row.unit,
                "free": row.free,
                "reference": {"mean": row.reference[0], "std": row.reference[1]},
                "other": {"mean": row.other[0], "std": row.other[1]},
                **{name: measure._asdict() for name, measure in row.measures.items()},
            }
            for row in contrast.rows
        },
        "left_out": contrast.left_out,
        "log_evidence_difference": contrast.log_evidence_difference,
        "log_evidence_difference_error": contrast.log_evidence_difference_error,
    }


def _error_summary(error: EmulatorError) -> dict[str, Any]:
    def each(maps: Maps | None) -> dict[str, float] | None:
        if maps is None:
            return None
        return {name: rms(m) for name, m in zip(MAP_NAMES, maps, strict=True) if np.any(np.isfinite(m))}

    return {"claimed": each(error.claimed), "found": each(error.found)}
