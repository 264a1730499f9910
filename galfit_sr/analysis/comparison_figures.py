"""Figures of several fits of the same data: overlaid posteriors, shifts, maps side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import NamedTuple

import numpy as np

from ..maps import MAP_NAMES, Maps, Observation
from .contrast import Contrast, Fit
from .display import MAP_TITLES, Column, all_columns, key_columns, on_branch, parameter_columns
from .emulator_error import EmulatorError, in_errors
from .map_figure import RESIDUAL_LIMIT, RESIDUAL_MAP, corner_text, draw_compass, draw_map, frame_of, residuals
from .plots import POSTERIOR_COLOUR, Layer, overlaid_corner_figure
from .rendering import Figure

COLOURS = (POSTERIOR_COLOUR, "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#000000")
"""Of the runs, distinct for the colour-blind, and none that of the truth."""


class Panels(NamedTuple):
    """A column of a figure of maps.

    Attributes:
        title: above it.
        maps: (n, n) each, in units of the data's errors, NaN without data.
        limit: colours end here; None for the 99th percentile of each map.
        signed: whether the values have two signs, and the colours diverge about zero.
    """

    title: str
    maps: Maps
    limit: float | None = None
    signed: bool = True


def corner_overlay(fits: Sequence[Fit], columns: Sequence[Column] | None = None, *, cell: float = 1.7) -> Figure:
    """Marginals of several posteriors over each other.

    Args:
        fits: the first decides on which branch angles are drawn.
        columns: of the first, what to draw; its key quantities if not given. What others lack is left out.
        cell: side of a panel in inches.
    """
    first = fits[0].posterior
    columns = key_columns(first) if columns is None else columns
    known = [{c.name: c for c in all_columns(fit.posterior)} for fit in fits]
    shared = [column for column in columns if all(column.name in names for names in known)]
    layers = []
    for fit, names, colour in zip(fits, known, cycle(COLOURS), strict=False):
        drawn = [names[c.name]._replace(values=on_branch(names[c.name].values, c, first.weights)) for c in shared]
        layers.append(Layer(fit.label, drawn, fit.posterior.weights, colour))
    return overlaid_corner_figure(layers, cell=cell)


def shifts_figure(contrasts: Sequence[Contrast]) -> Figure:
    """Shift and ratio of widths of every quantity against the reference, with Monte Carlo errors.

    Args:
        contrasts: of all but the reference, in its order.
    """
    names = list(dict.fromkeys(row.name for contrast in contrasts for row in contrast.rows))
    figure = Figure(figsize=(9.5, 0.27 * len(names) + 1.5), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for i, (contrast, colour) in enumerate(zip(contrasts, cycle(COLOURS[1:]), strict=False)):
        # Beside each other, the first on top.
        offset = 0.5 * ((i + 0.5) / len(contrasts) - 0.5)
        places = [names.index(row.name) + offset for row in contrast.rows]
        for axis, measure in ((left, "shift"), (right, "width_ratio")):
            values = [row.measures[measure].value for row in contrast.rows]
            errors = [row.measures[measure].error for row in contrast.rows]
            style = {"fmt": "o", "markersize": 3.5, "linewidth": 1.2, "color": colour, "label": contrast.label}
            axis.errorbar(values, places, xerr=errors, **style)
    for axis, neutral, label in (
        (left, 0.0, r"shift of the mean [$\sigma$ of the reference]"),
        (right, 1.0, "width / width of the reference"),
    ):
        axis.axvline(neutral, color=COLOURS[0], linewidth=1)
        axis.set_xlabel(label, fontsize=10)
        axis.grid(axis="y", alpha=0.3, linewidth=0.5)
        axis.tick_params(labelsize=8)
    left.set_yticks(range(len(names)), names)
    left.set_ylim(len(names) - 0.4, -0.6)
    handles, labels = left.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=4, frameon=False, fontsize=9)
    return figure


def map_columns_figure(observation: Observation, columns: Sequence[Panels], label: str) -> Figure:
    """One row per available map, one column for each of several sets of maps, with the rms of every panel.

    Args:
        observation: which maps there are, and where.
        columns: what to draw.
        label: of the colours.
    """
    names, frame = observation.available, frame_of(observation)
    figure = Figure(figsize=(3.4 * len(columns) + 1.0, 2.9 * len(names) + 0.6), layout="constrained")
    axes = figure.subplots(len(names), len(columns), sharex=True, sharey=True, squeeze=False)
    for row, name in zip(axes, names, strict=True):
        for axis, column in zip(row, columns, strict=True):
            image = column.maps[MAP_NAMES.index(name)]
            high = column.limit or float(np.nanpercentile(np.abs(image), 99)) or 1.0
            colours, low = (RESIDUAL_MAP, -high) if column.signed else ("cividis", 0.0)
            drawn = draw_map(axis, image, frame, colours, low, high)
            bar = figure.colorbar(drawn, ax=axis, pad=0.01, aspect=18, extend="both" if column.signed else "max")
            bar.ax.tick_params(labelsize=8)
            corner_text(axis, f"rms {rms(image):.2g}")
        bar.set_label(label, fontsize=9)
        row[0].set_ylabel(f"{MAP_TITLES[name]}\n" + r"$\Delta\delta$ [arcsec]", fontsize=9)
    for axis, column in zip(axes[0], columns, strict=True):
        axis.set_title(column.title, fontsize=10)
    for axis in axes[-1]:
        axis.set_xlabel(r"$\Delta\alpha\,\cos\delta$ [arcsec]", fontsize=9)
    draw_compass(axes[0, 0])
    return figure


def rms(image: np.ndarray) -> float:
    """Root mean square of the pixels that have data."""
    return float(np.sqrt(np.nanmean(np.square(image))))


def comparison_figures(
    fits: Sequence[Fit],
    contrasts: Sequence[Contrast],
    observation: Observation | None,
    errors: Mapping[str, EmulatorError],
) -> dict[str, Figure]:
    """Name -> figure of everything that can be drawn.

    Args:
        fits: the first is the reference.
        contrasts: of the others with it.
        observation: the data, None if unknown: there are then no maps.
        errors: label -> of the emulators.
    """
    drawn = {
        "shifts": shifts_figure(contrasts),
        "corner_key": corner_overlay(fits),
        "corner": corner_overlay(fits, parameter_columns(fits[0].posterior), cell=1.45),
    }
    if observation is None:
        return drawn
    reference, *others = fits
    drawn["residuals"] = map_columns_figure(
        observation,
        [Panels(fit.label, residuals(observation, fit.posterior), RESIDUAL_LIMIT) for fit in fits],
        r"(data $-$ model) / error",
    )
    best = reference.posterior.binned_maps
    drawn["differences"] = map_columns_figure(
        observation,
        [Panels(fit.label, in_errors(fit.posterior.binned_maps, best, observation)) for fit in others],
        f"(map $-$ that of {reference.label}) / error",
    )
    columns = []
    for label, error in errors.items():
        columns.append(Panels(f"{label}: claimed", error.claimed, signed=False))
        if error.found is not None:
            columns.append(Panels(f"{label}: found", error.found))
    if columns:
        drawn["emulator_error"] = map_columns_figure(observation, columns, "emulator's error / error")
    return drawn
