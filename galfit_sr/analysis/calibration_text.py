"""A calibration as a table and a verdict, from its summary."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group
from rich.table import Table

from ..inference.calibration import SIGNIFICANCE
from .rendering import text

_WIDTH = 120


def calibration_text(summary: Mapping[str, Any]) -> str:
    """The table, what the fits were, and the verdict.

    Args:
        summary: of a `Calibration`.
    """
    levels = list(summary["pooled"])
    headings = [f"{100 * float(level):.0f} % holds" for level in levels]
    table = Table("parameter", "offset", "KS distance", "p", "scatter", "p", *headings)
    for name, row in summary["parameters"].items():
        uniformity, scatter = row["uniformity"], row["scatter"]
        table.add_row(
            name,
            f"{row['offset']:+.2f}",
            f"{uniformity['value']:.3f}",
            _p(uniformity),
            f"{scatter['value']:.2f}",
            _p(scatter),
            *(_coverage(row["coverage"][level]) for level in levels),
        )
    table.add_section()
    table.add_row("all together", *[""] * 5, *(_coverage(summary["pooled"][level]) for level in levels))
    legend = (
        "offset, scatter: mean and rms of the truths' normal scores, 0 and 1 if posteriors are right; p: corrected for"
        f" the number of tests; ±: expected scatter; *: beyond chance at {100 * SIGNIFICANCE:g} %."
    )
    return text(Group(table, "", legend, "", *_fits(summary), "", verdict(summary)), _WIDTH)


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
