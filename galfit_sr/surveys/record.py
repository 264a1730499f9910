"""What a survey keeps of a fit: the numbers of its row in the catalogue."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..inference.derived import derived_summary, parameter_summary
from ..inference.results import Posterior
from ..model.galaxy import GalaxyModel
from .quantities import grown_summary

_KEPT = ("q16", "q50", "q84", "unit")


def record(posterior: Posterior, model: GalaxyModel, redshift: float) -> dict[str, Any]:
    """A fit in plain numbers.

    Returns:
        `parameters` and `derived`, each name -> q16, q50, q84, unit; `log_evidence` and its error (None without);
        `reduced_chi2`, map -> number; `converged`; `effective_sample_size`; `warnings`; `redshift`; `version`.
    """
    derived = {**derived_summary(posterior), **grown_summary(posterior, model, redshift)}
    return {
        "parameters": _kept(parameter_summary(posterior)),
        "derived": _kept(derived),
        "log_evidence": posterior.log_evidence,
        "log_evidence_error": posterior.log_evidence_error,
        "reduced_chi2": dict(posterior.reduced_chi2),
        "converged": posterior.converged,
        "effective_sample_size": posterior.effective_sample_size,
        "warnings": list(posterior.warnings),
        "redshift": redshift,
        "version": posterior.version,
    }


def _kept(summary: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    return {name: {key: row[key] for key in _KEPT} for name, row in summary.items()}
