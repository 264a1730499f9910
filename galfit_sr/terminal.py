"""What the command line shows while it works: a progress bar on a terminal, plain lines anywhere else."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

if TYPE_CHECKING:
    from .inference.results import Posterior

SECONDS_BETWEEN_LINES = 10.0
"""How often progress is written where there is no terminal to redraw."""
LEAST_SECONDS_OF_PACE = 10.0
"""Of a stage, before the time that is left is told: at first it compiles."""
_MOST_REPORTS = 1000
_WIDEST = 1000
"""Characters of a table's line, more than any needs."""


class ProgressDisplay:
    """Progress of a run on stderr, stage by stage, with the time that is left. Use as a context manager."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
            TextColumn("{task.fields[detail]}", markup=False),
            console=console,
        )
        # A dumb terminal cannot redraw a line: rich would show nothing there until the end.
        self._drawn = console.is_terminal and not console.is_dumb_terminal
        self._stage = ""
        self._task: TaskID | None = None
        self._written = 0.0
        self._reports: list[tuple[float, float]] = []

    def __enter__(self) -> ProgressDisplay:
        if self._drawn:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._drawn:
            if kind is None and self._task is not None:
                self._bar.update(self._task, completed=1.0, total=1.0, left="")
            self._bar.stop()

    def __call__(self, stage: str, fraction: float | None, detail: str) -> None:
        """Show where the run is.

        Args:
            stage: what is being done; a new one ends the one before.
            fraction: of the stage that is done, 0 to 1, or None where that cannot be told.
            detail: one short sentence of numbers.
        """
        now, new = time.monotonic(), stage != self._stage
        if new:
            self._stage, self._reports = stage, []
        left = None
        if fraction is not None:
            self._reports.append((now, fraction))
            if len(self._reports) > _MOST_REPORTS:
                del self._reports[1:-1:2]
            left = seconds_left(self._reports)
        words = "" if left is None else f"about {format_seconds(left)} left"
        if self._drawn:
            self._draw(new, fraction, words, detail)
        elif new or now - self._written >= SECONDS_BETWEEN_LINES:
            self._written = now
            percent = "" if fraction is None else f"{100 * fraction:.0f} %"
            line = ", ".join(filter(None, (stage, percent, words, detail)))
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def _draw(self, new: bool, fraction: float | None, left: str, detail: str) -> None:
        if new:
            if self._task is not None:
                self._bar.update(self._task, completed=1.0, total=1.0, left="")
            self._task = self._bar.add_task(self._stage, total=None, left=left, detail=detail)
        assert self._task is not None
        total = None if fraction is None else 1.0
        self._bar.update(self._task, completed=fraction, total=total, left=left, detail=detail)


def seconds_left(reports: Sequence[tuple[float, float]]) -> float | None:
    """How long a stage goes on at its pace in the latter half of its time so far; None where there is too little of it.

    The pace from the beginning on would count what is done once, compiling for instance, and in a run that is resumed
    what was done before.

    Args:
        reports: seconds and the share of the stage that was done by then, the first of them first.
    """
    (began, _), (now, share) = reports[0], reports[-1]
    if now - began < LEAST_SECONDS_OF_PACE or share >= 1:
        return None
    first = max(i for i, (then, _) in enumerate(reports) if then <= (began + now) / 2)
    since, before = reports[first]
    # One step can be of any length.
    if share <= before or len({done for _, done in reports[first:]}) < 3:
        return None
    return (1 - share) * (now - since) / (share - before)


def print_result(posterior: Posterior, folder: Path) -> None:
    """The posterior on stdout in a table, angles as astronomers count them, and where the rest of it is."""
    # Loads JAX, which commands that print no result need not wait for.
    from .analysis.display import errors
    from .inference.correction import in_words
    from .inference.derived import shown_quantities

    summary = posterior.summary()
    with_truth = any("truth" in row for row in summary.values())
    table = Table("parameter", title=posterior.galaxy)
    for heading in ("median", "-", "+", *(["truth"] if with_truth else []), "unit"):
        table.add_column(heading, justify="left" if heading == "unit" else "right")
    for quantity in shown_quantities(posterior.parameters):
        row = summary[quantity.name]
        numbers = [row["q50"], *errors(row, quantity.period)]
        numbers += [row["truth"]] if with_truth and "truth" in row else []
        cells = [f"{number:.3f}" for number in numbers] + [""] * (with_truth and "truth" not in row)
        table.add_row(quantity.name, *cells, row["unit"])
    # A narrow terminal breaks lines: better than numbers that end in dots.
    console = Console()
    natural = console.measure(table, options=console.options.update(max_width=_WIDEST)).maximum
    if natural > console.width:
        console = Console(width=natural)
    console.print(table)
    lines = []
    if posterior.log_evidence is not None:
        error = "" if posterior.log_evidence_error is None else f" +- {posterior.log_evidence_error:.2f}"
        lines.append(f"log evidence  {posterior.log_evidence:.2f}{error}")
    if posterior.correction is not None:
        lines.append(in_words(posterior.correction))
    chi2 = ", ".join(f"{name} {value:.2f}" for name, value in posterior.reduced_chi2.items())
    lines += [
        f"reduced chi^2 {chi2}",
        f"likelihoods   {posterior.n_likelihood_calls} in {format_seconds(posterior.wall_seconds)}",
        f"report        {folder / 'report.html'}",
    ]
    console.print("\n".join(lines), markup=False, highlight=False, soft_wrap=True)


def format_seconds(seconds: float) -> str:
    """A duration for people: 42 s, 3 min 05 s, 2 h 10 min."""
    total = round(seconds)
    if total < 60:
        return f"{total} s"
    if total < 3600:
        return f"{total // 60} min {total % 60:02d} s"
    return f"{total // 3600} h {total % 3600 // 60:02d} min"
