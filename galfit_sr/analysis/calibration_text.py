"""A calibration as a table and a verdict, from its summary."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from rich.console import Group
from rich.table import Table

from ..inference.calibration import SIGNIFICANCE
from .rendering import text
from .report_page import table_html

_WIDTH = 120
_LEGEND = (
    "offset, scatter: mean and rms of the truths' normal scores, 0 and 1 if posteriors are right; p: corrected for"
    f" the number of tests; ±: expected scatter; *: beyond chance at {100 * SIGNIFICANCE:g} %."
)


def calibration_text(summary: Mapping[str, Any]) -> str:
    """The table, what the fits were, and the verdict.

    Args:
        summary: of a `Calibration`.
    """
    heads, rows, pooled = _table(summary)
    table = Table(*heads)
    for row in rows:
        table.add_row(*row)
    table.add_section()
    table.add_row(*pooled)
    return text(Group(table, "", _LEGEND, "", *_fits(summary), "", verdict(summary)), _WIDTH)


def calibration_html(summary: Mapping[str, Any]) -> str:
    """The same for a notebook, the verdict first.

    Args:
        summary: of a `Calibration`.
    """
    heads, rows, pooled = _table(summary)
    table = table_html(heads, [[escape(cell) for cell in row] for row in (*rows, pooled)])
    lines = "".join(f"<p>{escape(line)}</p>" for line in (*verdict(summary).splitlines(), *_fits(summary)))
    return f"<div>{lines}{table}<p><small>{escape(_LEGEND)}</small></p></div>"


def _table(summary: Mapping[str, Any]) -> tuple[list[str], list[list[str]], list[str]]:
    """Headings, one row per parameter, and the row of all parameters together."""
    levels = list(summary["pooled"])
    heads = ["parameter", "offset", "KS distance", "p", "scatter", "p"]
    heads += [f"{100 * float(level):.0f} % holds" for level in levels]
    rows = []
    for name, row in summary["parameters"].items():
        uniformity, scatter = row["uniformity"], row["scatter"]
        cells = [name, f"{row['offset']:+.2f}", f"{uniformity['value']:.3f}", _p(uniformity)]
        cells += [f"{scatter['value']:.2f}", _p(scatter)]
        rows.append(cells + [_coverage(row["coverage"][level]) for level in levels])
    return heads, rows, ["all together", *[""] * 5, *(_coverage(summary["pooled"][level]) for level in levels)]


def verdict(summary: Mapping[str, Any]) -> str:
    """Whether the fits are calibrated, in sentences."""
    if summary["passed"]:
        return f"PASSED: nothing speaks against the posteriors of {summary['mocks']} mocks."
    return "\n".join([f"FAILED with {summary['mocks']} mocks.", *(f"  {reason}" for reason in summary["reasons"])])


def _fits(summary: Mapping[str, Any]) -> list[str]:
    settings = summary["settings"]
    lines = [
        f"{summary['mocks']} mocks of {settings['canvas']}x{settings['canvas']} pixels ({settings['fidelity']}),"
        f" {settings['sampler']['kind']}, {settings['emulator'] or 'full resolution'}, seed {settings['seed']}:"
        f" {summary['seconds']:.0f} s and {summary['likelihood_calls']:.0f} likelihoods a fit,"
        f" {summary['effective_samples']:.0f} effective samples, which make a rank uncertain by"
        f" {summary['rank_error']:.3f} (medians)."
    ]
    if summary["not_converged"]:
        lines.append(f"{summary['not_converged']} fits did not converge; they are counted like the others.")
    if summary["control"] is not None:
        lines.append(f"Negative control: {summary['control']}; this must fail.")
    return lines


def _p(test: Mapping[str, Any]) -> str:
    return f"{test['corrected']:.2g}{_star(test)}"


def _coverage(test: Mapping[str, Any]) -> str:
    return f"{100 * test['value']:.1f} ± {100 * test['error']:.1f}{_star(test)}"


def _star(test: Mapping[str, Any]) -> str:
    return " *" if test["corrected"] < SIGNIFICANCE else ""
