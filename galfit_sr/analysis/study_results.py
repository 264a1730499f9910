"""A study of emulators as a table and as a figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from ..inference.correction import khat_in_words
from .comparison_figures import COLOURS
from .rendering import Figure, text


def study_text(found: Mapping[str, Any]) -> str:
    """The study as a table for people."""
    table = Table(
        "galaxy", "predictor", "seconds", "shift", "width", "outside", "ln Z difference", "k-hat", "certified"
    )
    for name, galaxy in found["galaxies"].items():
        table.add_row(name, "full resolution", f"{galaxy['reference']['seconds']:.0f}", *[""] * 6)
        for label, row in galaxy["runs"].items():
            correction = row["correction"]
            table.add_row(
                "",
                label,
                f"{row['seconds']:.0f}",
                f"{_farthest(row['shifts'], 0.0):+.2f}",
                f"{_farthest(row['width_ratios'], 1.0):.2f}",
                str(len(row["outside"])),
                f"{row['log_evidence_difference']:+.2f} ± {row['log_evidence_difference_error']:.2f}",
                "" if correction is None else khat_in_words(correction),
                "" if correction is None else f"{correction['method']}{'' if correction['certified'] else ', no'}",
            )
    return text(table, 140)


def _farthest(departures: Mapping[str, Sequence[float]], neutral: float) -> float:
    return max((value for value, _ in departures.values()), key=lambda value: abs(value - neutral))


def study_figure(found: Mapping[str, Any]) -> Figure:
    """Shifts of all parameters, and differences in log evidence, from the full resolution; a row per galaxy.

    Args:
        found: from `study.study`.
    """
    galaxies = list(found["galaxies"])
    labels = list(dict.fromkeys(label for galaxy in found["galaxies"].values() for label in galaxy["runs"]))
    figure = Figure(figsize=(9.5, 0.16 * len(galaxies) * (len(labels) + 1) + 1.4), layout="constrained")
    shifts, evidence = figure.subplots(1, 2, sharey=True, width_ratios=[2, 1])
    for i, label in enumerate(labels):
        # Beside each other, the first on top.
        offset = 0.7 * ((i + 0.5) / len(labels) - 0.5)
        style: dict[str, Any] = {"color": COLOURS[(i + 1) % len(COLOURS)]}
        named = {"label": label}
        for place, galaxy in enumerate(galaxies):
            row = found["galaxies"][galaxy]["runs"].get(label)
            if row is None:
                continue
            values = [value for value, _ in row["shifts"].values()]
            height = place + offset
            shifts.plot(values, [height] * len(values), "|", markersize=6, **style, **named)
            difference, error = row["log_evidence_difference"], row["log_evidence_difference_error"]
            evidence.errorbar([difference], [height], xerr=[error], fmt="o", markersize=3.5, **style)
            named = {}
    for axis, inner, title in (
        (shifts, 0.3, r"shifts of the means [$\sigma$ of the full resolution]"),
        (evidence, 1.0, r"$\Delta \ln Z$"),
    ):
        # Linear where an exact posterior lies, logarithmic beyond.
        axis.set_xscale("symlog", linthresh=inner)
        axis.axvline(0, color=COLOURS[0], linewidth=1)
        axis.set_xlabel(title)
    shifts.set_yticks(range(len(galaxies)), galaxies)
    shifts.invert_yaxis()
    figure.legend(loc="outside upper right", ncols=len(labels), frameon=False, fontsize=9)
    return figure
