"""Figures of a posterior: maps, corners, marginals, the course of a nested run.

Every function makes its own `Figure` and touches no global state of matplotlib, so that it runs anywhere, also in
threads and without a screen.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator, ScalarFormatter

from ..inference.results import Posterior
from ..inference.statistics import effective_sample_size, quantiles
from .display import Column, digits
from .rendering import Figure

POSTERIOR_COLOUR = "#0072B2"
TRUTH_COLOUR = "#D55E00"
PRIOR_COLOUR = "#BDBDBD"
_LEAST_FOR_CONTOURS = 30
_BINS = 24
_ONE_AND_TWO_SIGMA = (0.393, 0.865)


class Layer(NamedTuple):
    """A set of weighted samples in a corner figure.

    Attributes:
        label: for the legend.
        columns: what to draw, see `display.parameter_columns` and `display.key_columns`.
        weights: (n,) of the samples.
        colour: of its lines.
    """

    label: str
    columns: Sequence[Column]
    weights: np.ndarray
    colour: str


def corner_figure(posterior: Posterior, columns: Sequence[Column], *, cell: float = 1.45) -> Figure:
    """Marginal densities of all pairs of quantities, weighted, with 1 and 2 sigma contours and the truth.

    Args:
        posterior: where the weights come from.
        columns: what to draw, see `display.parameter_columns` and `display.key_columns`.
        cell: side of a panel in inches.
    """
    figure, axes = _empty_corner(len(columns), cell)
    ranges = [_interval(column, posterior.weights, (0.001, 0.999)) for column in columns]
    layer = Layer("", columns, posterior.weights, POSTERIOR_COLOUR)
    _draw_corner(axes, layer, ranges, [_BINS] * len(columns), shaded=True)
    _label_corner(axes, columns, ranges, cell)
    for axis, column in zip(np.diag(axes), columns, strict=True):
        low, middle, high = quantiles(column.values, posterior.weights, (0.16, 0.5, 0.84))
        axis.set_title(_with_errors(low, middle, high), fontsize=8.5, pad=5)
    return figure


def overlaid_corner_figure(layers: Sequence[Layer], *, cell: float = 1.45) -> Figure:
    """The same for several sets of samples of the same quantities, contours over each other.

    Args:
        layers: the first is drawn first; the truth is that of its columns.
        cell: side of a panel in inches.
    """
    columns = layers[0].columns
    figure, axes = _empty_corner(len(columns), cell)
    intervals = [[_interval(c, layer.weights, (0.001, 0.999)) for c in layer.columns] for layer in layers]
    each_column = list(zip(*intervals, strict=True))
    ranges = [(min(low for low, _ in each), max(high for _, high in each)) for each in each_column]
    # As fine as for one layer alone where layers lie apart, as far as a panel can show it.
    bins = [
        int(np.clip(_BINS * (high - low) / max(b - a for a, b in each), _BINS, 4 * _BINS))
        for each, (low, high) in zip(each_column, ranges, strict=True)
    ]
    for layer in layers:
        _draw_corner(axes, layer, ranges, bins, shaded=False)
    _label_corner(axes, columns, ranges, cell)
    handles = [Line2D([], [], color=layer.colour, label=layer.label) for layer in layers]
    figure.legend(handles=handles, loc="upper right", frameon=False, fontsize=11)
    return figure


def _empty_corner(size: int, cell: float) -> tuple[Figure, np.ndarray]:
    """A figure and its panels, (size, size): none above the diagonal, since each takes long to make, shown or not."""
    figure = Figure(figsize=(cell * size + 1.2, cell * size + 1.2))
    margin, top = 0.95 / figure.get_figwidth(), 1 - 0.35 / figure.get_figheight()
    grid = figure.add_gridspec(
        size, size, left=margin, bottom=margin, right=1 - 0.015, top=top, wspace=0.06, hspace=0.06
    )
    axes = np.full((size, size), None)
    for row, column in _pairs(size):
        axes[row, column] = figure.add_subplot(grid[row, column])
    return figure, axes


def _pairs(size: int) -> Iterator[tuple[int, int]]:
    """Rows and columns of the panels, row by row."""
    return ((row, column) for row in range(size) for column in range(row + 1))


def _draw_corner(
    axes: np.ndarray, layer: Layer, ranges: list[tuple[float, float]], bins: list[int], *, shaded: bool
) -> None:
    hist2d = _hist2d()
    enough = effective_sample_size(layer.weights) > _LEAST_FOR_CONTOURS
    columns = layer.columns
    with _quiet_corner():
        for row, column in _pairs(len(columns)):
            axis, x, y = axes[row, column], columns[column], columns[row]
            if row == column:
                edges = np.linspace(*ranges[row], bins[row] + 1)
                style = {"histtype": "step", "color": layer.colour, "linewidth": 1.2}
                axis.hist(x.values, edges, weights=layer.weights, **style)
            else:
                hist2d(
                    x.values,
                    y.values,
                    ax=axis,
                    weights=layer.weights,
                    bins=[bins[column], bins[row]],
                    range=[ranges[column], ranges[row]],
                    color=layer.colour,
                    smooth=0.8,
                    levels=_ONE_AND_TWO_SIGMA,
                    plot_datapoints=not enough,
                    plot_contours=enough,
                    plot_density=enough and shaded,
                    no_fill_contours=not shaded,
                    contour_kwargs={"linewidths": 0.9},
                )
            if x.truth is not None:
                axis.axvline(x.truth, color=TRUTH_COLOUR, linewidth=1.0)
            if row != column and y.truth is not None:
                axis.axhline(y.truth, color=TRUTH_COLOUR, linewidth=1.0)
            if row != column and x.truth is not None and y.truth is not None:
                axis.plot(x.truth, y.truth, "s", color=TRUTH_COLOUR, markersize=3.5)


def _label_corner(axes: np.ndarray, columns: Sequence[Column], ranges: list[tuple[float, float]], cell: float) -> None:
    """Ranges, ticks and names."""
    last = len(columns) - 1
    ticks = [_inner_ticks(*interval) for interval in ranges]
    # Beyond the longest number on a tick, whatever the size of the panels.
    label_distance = 0.58 / cell
    small = {"labelsize": 8, "length": 2.5, "pad": 1.5}
    for row, column in _pairs(len(columns)):
        axis = axes[row, column]
        axis.set_xlim(ranges[column])
        _set_ticks(axis.xaxis, ticks[column])
        # Slanted numbers of neighbouring panels cannot run into each other.
        axis.tick_params(axis="x", labelrotation=50, labelbottom=row == last, **small)
        if row == column:
            axis.set_ylim(0, 1.1 * max(patch.get_path().vertices[:, 1].max() for patch in axis.patches))
            axis.yaxis.set_major_locator(NullLocator())
            continue
        axis.set_ylim(ranges[row])
        _set_ticks(axis.yaxis, ticks[row])
        axis.tick_params(axis="y", labelrotation=40, labelleft=column == 0, **small)
    for place, shown in enumerate(columns):
        axes[last, place].set_xlabel(shown.label, fontsize=11)
        axes[last, place].xaxis.set_label_coords(0.5, -label_distance)
        if place > 0:
            axes[place, 0].set_ylabel(shown.label, fontsize=11)
            axes[place, 0].yaxis.set_label_coords(-label_distance, 0.5)


def _set_ticks(axis: Axis, places: list[float]) -> None:
    axis.set_major_locator(FixedLocator(places))
    axis.set_major_formatter(ScalarFormatter(useOffset=False))


def _inner_ticks(low: float, high: float) -> list[float]:
    """Two or three round numbers away from the ends, where their labels would meet those of the next panel."""
    margin = 0.12 * (high - low)
    for most in (3, 4, 5, 6):
        ticks = MaxNLocator(most, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
        inner = [float(tick) for tick in ticks if low + margin <= tick <= high - margin]
        if len(inner) > 1:
            break
    return inner


def marginals_figure(posterior: Posterior, columns: Sequence[Column], prior: Sequence[np.ndarray]) -> Figure:
    """Marginal posterior of every parameter over its prior (grey), with the 68 % interval and the truth.

    The horizontal range is that of the posterior, or all of the prior where the data say little.

    Args:
        posterior: where the weights come from.
        columns: of the free parameters, see `display.parameter_columns`.
        prior: (m,) draws of each from the prior, in the same units.
    """
    across = 6
    down = -(-len(columns) // across)
    figure = Figure(figsize=(12, 1.75 * down + 0.5), layout="constrained")
    axes = figure.subplots(down, across, squeeze=False)
    for axis, column, draws in zip(axes.flat, columns, prior, strict=False):
        _marginal(axis, column, posterior.weights, draws)
    for axis in axes.flat[len(columns) :]:
        axis.set_visible(False)
    handles, labels = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=4, frameon=False, fontsize=9)
    return figure


def _marginal(axis: Axes, column: Column, weights: np.ndarray, prior: np.ndarray) -> None:
    low, high = _interval(column, weights, (0.001, 0.999))
    if high - low > 0.4 * np.ptp(prior):
        low, high = min(low, float(prior.min())), max(high, float(prior.max()))
    edges = np.linspace(low, high, 33)
    heights, _ = np.histogram(column.values, edges, weights=weights, density=True)
    axis.stairs(heights, edges, fill=True, color=POSTERIOR_COLOUR, alpha=0.35)
    axis.stairs(heights, edges, color=POSTERIOR_COLOUR, linewidth=1.2, label="posterior")
    coarse = np.linspace(max(low, float(prior.min())), min(high, float(prior.max())), 9)
    counts, _ = np.histogram(prior, coarse)
    density = counts / (len(prior) * np.diff(coarse))
    axis.stairs(density, coarse, color="#7F7F7F", linewidth=1, linestyle="--", label="prior")
    lower, _, upper = quantiles(column.values, weights, (0.16, 0.5, 0.84))
    axis.axvspan(lower, upper, color=PRIOR_COLOUR, alpha=0.35, linewidth=0, label="68 %")
    if column.truth is not None:
        axis.axvline(column.truth, color=TRUTH_COLOUR, linewidth=1.5, label="truth")
    axis.set_xlim(low, high)
    axis.set_ylim(bottom=0)
    axis.set_yticks([])
    # Away from the ends, where numbers of neighbouring panels would meet.
    axis.set_xticks(_inner_ticks(low, high))
    axis.tick_params(labelsize=8)
    axis.set_xlabel(column.label, fontsize=9)


def trace_figure(posterior: Posterior) -> Figure | None:
    """The course of a nested run: likelihood and share of the posterior against the compression of the prior.

    Returns:
        None for samplers that leave no `log_volume`.
    """
    if posterior.log_volume is None:
        return None
    figure = Figure(figsize=(8, 4.2), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(1.5, 1))
    order = np.argsort(-posterior.log_volume)
    compression = -posterior.log_volume[order]
    likelihood = posterior.log_likelihood[order]
    # Points, since the likelihood itself does not rise from step to step where the prior is re-partitioned.
    above.plot(compression, likelihood, ".", color=POSTERIOR_COLOUR, markersize=2, alpha=0.5, markeredgewidth=0)
    # The first points lie arbitrarily deep and would flatten the rest.
    bottom, top = np.percentile(likelihood, 20), likelihood.max()
    above.set_ylim(bottom - 0.1 * (top - bottom), top + 0.1 * (top - bottom))
    above.set_ylabel(r"$\ln\,L$")
    # Weight per unit of compression: where the posterior comes from.
    edges = np.linspace(compression[0], compression[-1], 81)
    share, _ = np.histogram(compression, edges, weights=posterior.weights[order], density=True)
    below.stairs(share, edges, fill=True, color=POSTERIOR_COLOUR, alpha=0.5)
    below.set_ylabel("posterior")
    below.set_yticks([])
    below.set_xlabel(r"compression of the prior, $-\ln X$ [nats]")
    for axis in (above, below):
        axis.grid(alpha=0.2, linewidth=0.5)
    return figure


def _interval(column: Column, weights: np.ndarray, levels: tuple[float, float]) -> tuple[float, float]:
    """The range to draw: between two quantiles and a margin, wide enough for a truth not far outside."""
    low, high = quantiles(column.values, weights, levels)
    if not high > low:
        low, high = low - max(abs(low), 1) * 1e-3, high + max(abs(high), 1) * 1e-3
    width = high - low
    low, high = low - 0.05 * width, high + 0.05 * width
    if column.truth is not None and low - width < column.truth < high + width:
        low, high = min(low, column.truth - 0.05 * width), max(high, column.truth + 0.05 * width)
    return float(low), float(high)


def _with_errors(low: float, middle: float, high: float) -> str:
    """Median and 68 % interval, to two digits of the smaller error."""
    n = digits(min(high - middle, middle - low))
    return rf"${middle:.{n}f}^{{+{high - middle:.{n}f}}}_{{-{middle - low:.{n}f}}}$"


def _hist2d():
    with warnings.catch_warnings():
        # corner imports ArviZ, which announces its rewrite there.
        warnings.simplefilter("ignore")
        from corner import hist2d
    return hist2d


class _quiet_corner:
    """corner reports through the root logger and warns about contours of few samples; neither helps a reader."""

    def __enter__(self) -> None:
        self._warnings = warnings.catch_warnings()
        self._warnings.__enter__()
        warnings.simplefilter("ignore")
        self._disabled = logging.root.manager.disable
        logging.disable(logging.WARNING)

    def __exit__(self, *_: object) -> None:
        logging.disable(self._disabled)
        self._warnings.__exit__(None, None, None)
