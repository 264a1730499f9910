"""comparison.html: several fits of the same data side by side, in one file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import escape
from typing import Any

from .comparison_text import HEADINGS, compared, evidence_sentence, measured, runs_table
from .display import MAP_TITLES, unit_html
from .distances import BINS, MEASURES, SIGNIFICANCE
from .report_page import MINUS, figure_html, page_html, table_html, warnings_html

CAPTIONS = {
    "shifts": (
        "Shifts and widths",
        "Against the reference (blue line), with Monte Carlo errors.",
    ),
    "corner_key": (
        "Key quantities",
        "Marginal posteriors of pairs, with the regions that hold 39 % and 86 % (1 and 2 sigma of a two-dimensional"
        " Gaussian). Orange red: the truth, where it is known.",
    ),
    "residuals": (
        "Residuals of the best fits",
        "Data less model at the sample of highest posterior density, in standard deviations of the data.",
    ),
    "differences": (
        "Differences between the best fits",
        "In standard deviations of the data; every map has its own colours. The best of some thousand samples differs"
        " from run to run, by Monte Carlo alone and by more where data say little.",
    ),
    "emulator_error": (
        "The emulators' own errors against the noise",
        "In standard deviations of the data; every map has its own colours. Claimed: one standard deviation by the"
        " emulator's own account, at its best fit. Found: its maps less those of the full-resolution model, both at the"
        " best fit of the reference.",
    ),
    "corner": ("All pairs of parameters", "As above, for every parameter."),
}
_WIDE = ("corner",)


def comparison_html(summary: Mapping[str, Any], figures: Mapping[str, bytes]) -> str:
    """The page.

    Args:
        summary: of a `Comparison`.
        figures: name (a key of `CAPTIONS`) -> PNG; those that are missing are left out.
    """
    name, reference = summary["galaxy"] or "a galaxy", summary["reference"]
    shown = {key: figure_html(*CAPTIONS[key], figures[key], wide=key in _WIDE) for key in CAPTIONS if key in figures}
    return page_html(
        f"{name}: galfit_sr comparison",
        name,
        f"{len(summary['runs'])} fits of the same data, compared with {reference} · data"
        f" {summary['data_fingerprint'][:16]}",
        (
            _warnings(summary),
            _runs(summary),
            shown.get("shifts", ""),
            *(_contrast(summary, label) for label in summary["contrasts"]),
            _reading(reference),
            *(shown.get(key, "") for key in ("corner_key", "residuals", "differences", "emulator_error")),
            _emulator_table(summary),
            shown.get("corner", ""),
        ),
    )


def comparison_tables(summary: Mapping[str, Any]) -> str:
    """The tables of the page alone, for a notebook.

    Args:
        summary: of a `Comparison`.
    """
    parts = [_warnings(summary), _runs(summary), *(_contrast(summary, label) for label in summary["contrasts"])]
    return f"<div>{''.join(parts)}{_reading(summary['reference'])}{_emulator_table(summary)}</div>"


def _runs(summary: Mapping[str, Any]) -> str:
    heads, rows = runs_table(summary)
    table = table_html(
        [escape(head) for head in heads], [[_typeset(cell) for cell in row] for row in rows], stacks=True
    )
    return f"<h2>The runs</h2>{table}<p><small>×: relative to {escape(summary['reference'])}.</small></p>"


def _warnings(summary: Mapping[str, Any]) -> str:
    sentences = [
        *(f"{label}: {warning}" for label, run in summary["runs"].items() for warning in run["warnings"]),
        *summary["notes"],
    ]
    return warnings_html(sentences) if sentences else ""


def _contrast(summary: Mapping[str, Any], label: str) -> str:
    reference = summary["reference"]
    rows = []
    for name, row in summary["contrasts"][label]["quantities"].items():
        moments = [measured(row[which]["mean"], row[which]["std"]) for which in ("reference", "other")]
        cells = [_marked(compared(row[m], m), row[m]["significant"]) for m in MEASURES]
        quantity = f"<code>{escape(name)}</code> <small>{unit_html(row['unit'])}</small>"
        rows.append([quantity, *map(_typeset, moments), *cells])
    heads = ["", escape(reference), escape(label), *HEADINGS.values()]
    return (
        f"<h2>{escape(label)} against {escape(reference)}</h2>"
        f"<p>{_typeset(evidence_sentence(summary, label))}</p>{table_html(heads, rows, stacks=True)}"
    )


def _marked(cell: str, significant: bool) -> str:
    return f'<span class="beyond">{_typeset(cell)}</span>' if significant else _typeset(cell)


def _typeset(words: str) -> str:
    """Plain text as HTML, with typographic minus signs before numbers."""
    return re.sub(r"(?<!\w)-(?=\d)", MINUS, escape(words))


def _reading(reference: str) -> str:
    return (
        "<p><small>Mean ± standard deviation of both; shift of the mean and Wasserstein-1 distance (W1) in standard"
        f" deviations of {escape(reference)}; JS: Jensen-Shannon distance of the marginals in {BINS} bins, the square"
        " root of bits, 0 for equal ones and 1 without overlap. ± behind these: Monte Carlo error. In brackets: what"
        f" two finite samples of one distribution give. *: more than {SIGNIFICANCE:g} standard deviations from what"
        " these give.</small></p>"
    )


def _emulator_table(summary: Mapping[str, Any]) -> str:
    rows = []
    for label, errors in summary["emulator_errors"].items():
        for name, claimed in errors["claimed"].items():
            found = "" if errors["found"] is None else f"{errors['found'][name]:.2g}"
            rows.append([escape(label), MAP_TITLES[name].lower(), f"{claimed:.2g}", found])
    heads = ["emulator of", "map", "claimed / noise, rms", "found / noise, rms"]
    return table_html(heads, rows, stacks=True) if rows else ""
