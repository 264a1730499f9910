"""index.html: what a survey has come to, for people who look in on it. Pictures and reports lie beside it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ..analysis.report_page import MINUS, page_html, table_html
from ..files import write_text
from .counts import Counts, counts
from .outcome import FAILED, RUNNING, WAITING, Outcome
from .plan import Plan, run_folder, thumbnail_file
from .quantities import median_of

PAGE = "index.html"
REFRESH = 30
"""Seconds after which a browser looks again, while the survey goes on."""
_SHOWN = {
    "log10_stellar_mass": "log M<sub>★</sub> [M<sub>☉</sub>]",
    "bulge_fraction": "bulge / M<sub>★</sub>",
    "log10_effective_radius": "log R<sub>e</sub> [kpc]",
    "inclination_deg": "i [°]",
    "log10_halo_mass": "log M<sub>h</sub> [M<sub>☉</sub>]",
}
_STYLE = """<style>
main { max-width: 1500px; }
.status { display: inline-block; border-radius: 4px; padding: .05rem .5rem; font-size: .85em; background: #eef1f3; }
.status.done { background: #d9f0e8; } .status.failed { background: #fbd9c6; } .status.running { background: #dcebf8; }
.meter { height: 10px; background: #eef1f3; border-radius: 5px; overflow: hidden; display: flex; margin: .8rem 0; }
.meter .done { background: #009e73; } .meter .failed { background: #d55e00; } .meter .running { background: #56b4e9; }
td img { display: block; height: 48px; max-width: 100px; image-rendering: pixelated; }
td .why { white-space: normal; display: block; width: 11rem; overflow-wrap: anywhere; font-size: .85em; }
th, td { padding-left: .3rem; padding-right: .3rem; }
th:first-child, td:first-child { min-width: 0; }
td:last-child { white-space: normal; width: 5rem; min-width: 5rem; }
@media (max-width: 700px) {
  /* What there is to decide: which galaxy, and whether it is done. The rest is in its report. */
  td img { height: 32px; }
  th:nth-child(n + 4), td:nth-child(n + 4) { display: none; }
}
</style>
"""


def write_page(
    folder: Path, plan: Plan, outcomes: Mapping[str, Outcome], running: Collection[str], words: str, going: bool
) -> None:
    """Writes the page, whole or not at all.

    Args:
        folder: of the survey.
        plan: what is to be done.
        outcomes: name -> what became of a galaxy.
        running: names of those that workers have.
        words: how fast it goes, a few of them.
        going: whether it will change.
    """
    write_text(folder / PAGE, page(folder, plan, outcomes, running, words, going))


def page(
    folder: Path, plan: Plan, outcomes: Mapping[str, Outcome], running: Collection[str], words: str, going: bool
) -> str:
    """The page; arguments as for `write_page`."""
    count = counts(plan, outcomes, running)
    heads = ["", "galaxy", "status", "log evidence", *_SHOWN.values(), "χ² per map"]
    rows = [_row(folder, plan, name, outcomes.get(name), name in running) for name in plan.names]
    return page_html(
        f"{folder.absolute().name}: galfit_sr survey",
        f"Survey {folder.absolute().name}",
        f"{len(plan.galaxies)} {'galaxy' if len(plan.galaxies) == 1 else 'galaxies'} · configuration {plan.hash[:12]}"
        # A survey that was killed looks as if it went on.
        f"{f' · as of {datetime.now():%Y-%m-%d %H:%M}' if going else ''}",
        (
            _meter(count),
            f"<p>{escape(str(count))}{escape(f'; {words}' if words else '')}.</p>",
            f'<p><a href="catalogue.fits">catalogue.fits</a> · <a href="catalogue.ecsv">catalogue.ecsv</a>'
            f"{' · evidences of all models: <a href=models.ecsv>models.ecsv</a>' if plan.variants else ''}</p>"
            if (folder / "catalogue.fits").is_file()
            else "",
            table_html(heads, rows),
        ),
        _STYLE + (f'<meta http-equiv="refresh" content="{REFRESH}">\n' if going else ""),
    )


def _meter(count: Counts) -> str:
    parts = "".join(
        f'<span class="{status}" style="flex:{number}" title="{number} {status}"></span>'
        for status, number in count.by_status().items()
    )
    return f'<div class="meter">{parts}</div>'


def _row(folder: Path, plan: Plan, name: str, outcome: Outcome | None, running: bool) -> tuple[str, ...]:
    status = outcome.status if outcome else RUNNING if running else WAITING
    picture = thumbnail_file(Path(), name)
    image = (
        f'<img loading="lazy" alt="light and velocity of {escape(name)}" src="{quote(picture.as_posix())}">'
        if (folder / picture).is_file()
        else ""
    )
    mark = f'<span class="status {status}">{status}</span>'
    chosen = outcome.chosen if outcome else None
    if outcome is None or chosen is None:
        reason = f'<span class="why">{escape(outcome.reason)}</span>' if outcome and status == FAILED else ""
        return (image, escape(name), f"{mark}{reason}", *[""] * len(_SHOWN), "", "")
    variant, held = chosen
    report = quote((run_folder(Path(), name, variant) / "report.html").as_posix())
    shown = (held["derived"].get(quantity) for quantity in _SHOWN)
    return (
        image,
        f'<a href="{report}">{escape(name)}</a>',
        f"{mark} {_flags(held)}",
        _evidence(outcome, plan),
        *("" if row is None else median_of(row).replace("-", MINUS) for row in shown),
        " ".join(f"{value:.2f}" for value in held["reduced_chi2"].values()),
    )


def _evidence(outcome: Outcome, plan: Plan) -> str:
    """Of all models, each linked to its report, the preferred one in bold letters."""
    best = outcome.preference
    lines = []
    for variant, held in outcome.models.items():
        if held["log_evidence"] is None:
            continue
        error = "" if held["log_evidence_error"] is None else f" ± {held['log_evidence_error']:.1f}"
        value = f"{held['log_evidence']:.1f}{error}".replace("-", MINUS)
        if not plan.variants:
            return value
        report = quote((run_folder(Path(), outcome.name, variant) / "report.html").as_posix())
        line = f'<a href="{report}">{escape(variant)}</a> {value}'
        lines.append(f"<b>{line}</b>" if best is not None and best.variant == variant else line)
    if best is not None and best.margin is not None and not best.decided:
        lines.append("<small>not decided</small>")
    return "<br>".join(lines)


def _flags(held: Mapping[str, Any]) -> str:
    """What a reader should know of a fit before its numbers."""
    mark = "" if held["converged"] else '<span class="status failed">not converged</span>'
    warnings = held["warnings"]
    if not warnings:
        return mark
    lines = "".join(f'<span class="why">{escape(warning)}</span>' for warning in warnings)
    plural = "s" if len(warnings) > 1 else ""
    return f"{mark}<details><summary>{len(warnings)} warning{plural}</summary>{lines}</details>"
