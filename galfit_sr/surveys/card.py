"""How a survey looks in a notebook: how far it is, what failed and why, and where its files are."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from ..analysis.report_page import table_html
from ..analysis.views import block
from .outcome import DONE, FAILED, RUNNING, WAITING

_MOST_FAILURES = 20
"""That are listed; the status page has all of them."""


def survey_html(summary: Mapping[str, Any]) -> str:
    """The card: HTML without style sheet, script or outside request.

    Args:
        summary: of a `Survey`.
    """
    numbers = [(status, f"{summary[status]:,}") for status in (DONE, FAILED, RUNNING, WAITING)]
    failures = list(summary["failures"].items())
    left = len(failures) - _MOST_FAILURES
    notes = [f"{left} more failures are on the status page."] if left > 0 else []
    named = [(f"<code>{escape(name)}</code>", escape(reason)) for name, reason in failures[:_MOST_FAILURES]]
    return block(
        f"Survey in {summary['folder']}",
        f"catalogue {summary['catalogue']}, status page {summary['page']}",
        notes,
        table_html(["galaxies", ""], numbers),
        table_html(["failed", "why"], named) if named else "",
    )
