"""The figure of a calibration: ranks of every parameter in two views, and coverage."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from scipy import stats

from ..inference.calibration import LEVELS, Judgement, Row, ecdf_band
from ..parameters import Parameter
from .plots import POSTERIOR_COLOUR, PRIOR_COLOUR, TRUTH_COLOUR
from .rendering import Figure

COLUMNS = 6
BAND = 0.99
"""Of uniform ranks: the share of parameters that stay within all of a band."""
_PLACES = np.linspace(0.01, 0.99, 99)


def calibration_figure(parameters: Sequence[Parameter], ranks: np.ndarray, judgement: Judgement) -> Figure:
    """For each parameter a histogram of the ranks above, and below it their distribution function less that of uniform
    ones, in the band that holds all of it for 99 % of parameters; at the bottom the coverage. Red where a test rejects.

    Args:
        parameters: the free ones.
        ranks: (mocks, parameters).
        judgement: over them.
    """
    groups = math.ceil(len(parameters) / COLUMNS)
    figure = Figure(figsize=(2.1 * COLUMNS, 3.0 * groups + 2.6), layout="constrained")
    grid = figure.add_gridspec(2 * groups + 1, COLUMNS, height_ratios=[*[1.0, 1.3] * groups, 1.8])
    band = ecdf_band(len(ranks), _PLACES, BAND, 0)
    for i, (parameter, column, row) in enumerate(zip(parameters, ranks.T, judgement.rows, strict=True)):
        place, side = divmod(i, COLUMNS)
        above = figure.add_subplot(grid[2 * place, side])
        below = figure.add_subplot(grid[2 * place + 1, side], sharex=above)
        colour = TRUTH_COLOUR if _rejects(row) else POSTERIOR_COLOUR
        _histogram(above, column, colour)
        above.set_title(parameter.label, fontsize=10)
        _difference(below, column, band, colour)
        if side == 0:
            above.set_ylabel("mocks", fontsize=8)
            below.set_ylabel("ECDF $-$ uniform", fontsize=8)
    _coverage(figure.add_subplot(grid[-1, :]), parameters, judgement)
    return figure


def _rejects(row: Row) -> bool:
    return any(test.rejects for test in (row.uniformity, row.scatter, *row.coverage))


def _histogram(axis: Axes, ranks: np.ndarray, colour: str) -> None:
    """With the central 99 % of what a bin holds if ranks are uniform."""
    bins = int(np.clip(len(ranks) // 8, 4, 20))
    axis.hist(ranks, bins, range=(0, 1), color=colour, alpha=0.6)
    low, high = stats.binom.ppf([0.005, 0.995], len(ranks), 1 / bins)
    axis.axhspan(low, high, color=PRIOR_COLOUR, alpha=0.5, linewidth=0, zorder=0)
    axis.axhline(len(ranks) / bins, color="black", linewidth=0.6)
    axis.tick_params(labelsize=7, labelbottom=False)


def _difference(axis: Axes, ranks: np.ndarray, band: tuple[np.ndarray, np.ndarray], colour: str) -> None:
    axis.fill_between(_PLACES, band[0] - _PLACES, band[1] - _PLACES, color=PRIOR_COLOUR, alpha=0.5, linewidth=0)
    axis.axhline(0, color="black", linewidth=0.6)
    axis.plot(_PLACES, np.mean(ranks[:, None] <= _PLACES, axis=0) - _PLACES, color=colour, linewidth=1.2)
    axis.set_xlim(0, 1)
    axis.set_xlabel("rank", fontsize=8)
    axis.tick_params(labelsize=7)


def _coverage(axis: Axes, parameters: Sequence[Parameter], judgement: Judgement) -> None:
    """Of each level, with the error that it has if posteriors are right; all parameters together at the right."""
    places = np.arange(len(parameters) + 1)
    columns = [*(row.coverage for row in judgement.rows), judgement.pooled]
    for i, level in enumerate(LEVELS):
        tests = [column[i] for column in columns]
        axis.axhline(level, color="black", linewidth=0.6)
        axis.errorbar(
            places, [t.value for t in tests], [t.error for t in tests], fmt="none", ecolor=PRIOR_COLOUR, elinewidth=2
        )
        colours = [TRUTH_COLOUR if test.rejects else POSTERIOR_COLOUR for test in tests]
        axis.scatter(places, [t.value for t in tests], c=colours, s=16, zorder=3)
    axis.set_xticks(places, [*(p.label for p in parameters), "all"], fontsize=8)
    axis.set_yticks(LEVELS, [f"{100 * level:.0f} %" for level in LEVELS], fontsize=8)
    axis.set_ylabel("truths in central interval", fontsize=8)
