"""A comparison as text tables, from its summary."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group
from rich.table import Table

from ..inference.correction import khat_in_words
from .display import digits
from .distances import MEASURES, SIGNIFICANCE
from .rendering import text

HEADINGS = {"shift": "shift [sigma]", "width_ratio": "width ratio", "wasserstein": "W1 [sigma]", "jensen_shannon": "JS"}
COSTS = {
    "n_likelihood_calls": "likelihoods",
    "wall_seconds": "seconds",
    "effective_sample_size": "effective samples",
    "effective_samples_per_second": "effective samples / s",
}
_WIDTH = 120


def comparison_text(summary: Mapping[str, Any]) -> str:
    """Tables for people.

    Args:
        summary: of a `Comparison`.
    """
    blocks: list[Any] = [_runs_table(summary)]
    for label in summary["contrasts"]:
        blocks += ["", _contrast_table(summary, label), evidence_sentence(summary, label)]
    legend = (
        f"sigma: of {summary['reference']}; ±: Monte Carlo error; in brackets: what Monte Carlo alone gives;"
        f" *: more than {SIGNIFICANCE:g} standard deviations from that."
    )
    return text(Group(*blocks, "", legend, *summary["notes"]), _WIDTH)


def measured(value: float, error: float) -> str:
    """A number with its error, to two digits of the error."""
    n = digits(error)
    return f"{value:.{n}f} ± {error:.{n}f}"


def compared(measure: Mapping[str, Any], name: str) -> str:
    """One measure of one quantity: value, error, for distances what Monte Carlo alone gives, and a mark."""
    shown = measured(measure["value"], measure["error"])
    if name in ("wasserstein", "jensen_shannon"):
        shown += f" ({measure['expected']:.3f})"
    return f"{shown} *" if measure["significant"] else shown


def evidence_sentence(summary: Mapping[str, Any], label: str) -> str:
    """The difference in log evidence, and what could not be compared."""
    contrast = summary["contrasts"][label]
    difference, error = contrast["log_evidence_difference"], contrast["log_evidence_difference_error"]
    if difference is None:
        evidence = "not known"
    else:
        evidence = f"{difference:+.2f}" if error is None else f"{difference:+.2f} ± {error:.2f}"
    sentence = f"ln evidence, {label} less {summary['reference']}: {evidence}."
    if contrast["left_out"]:
        sentence += f" Not compared, free in only one of the two: {', '.join(contrast['left_out'])}."
    return sentence


def runs_table(summary: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Headings and rows of the table of runs, one column per run after the first."""
    runs = summary["runs"]
    rows = [
        ["predictor", *(run["predictor"] for run in runs.values())],
        ["correction", *map(_correction, runs.values())],
        ["sampler", *(run["sampler"] for run in runs.values())],
        ["ln evidence", *map(_evidence, runs.values())],
    ]
    for name, heading in COSTS.items():
        rows.append([heading, *(_cost(run, name, label == summary["reference"]) for label, run in runs.items())])
    rows.append(["ended by itself", *("yes" if run["converged"] else "no" for run in runs.values())])
    rows.append(["warnings", *(str(len(run["warnings"])) for run in runs.values())])
    return ["", *runs], rows


def _evidence(run: Mapping[str, Any]) -> str:
    value, error = run["log_evidence"], run["log_evidence_error"]
    if value is None:
        return "not known"
    return f"{value:.2f}" if error is None else f"{value:.2f} ± {error:.2f}"


def _correction(run: Mapping[str, Any]) -> str:
    record = run["correction"]
    if record is None:
        return "none"
    return f"{record['method']}, k-hat {khat_in_words(record)}{'' if record['certified'] else ', not certified'}"


def _cost(run: Mapping[str, Any], name: str, is_reference: bool) -> str:
    value = run[name]
    shown = f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
    return shown if is_reference else f"{shown} (×{run['relative'][name]:.2g})"


def _runs_table(summary: Mapping[str, Any]) -> Table:
    heads, rows = runs_table(summary)
    table = Table(*heads, title=f"{summary['galaxy'] or 'a galaxy'}, compared with {summary['reference']}")
    for row in rows:
        table.add_row(*row)
    return table


def _contrast_table(summary: Mapping[str, Any], label: str) -> Table:
    table = Table("quantity", *HEADINGS.values(), title=f"{label} against {summary['reference']}")
    for name, row in summary["contrasts"][label]["quantities"].items():
        table.add_row(name, *(compared(row[m], m) for m in MEASURES))
    return table
