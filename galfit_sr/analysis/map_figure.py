"""Data, model and residuals of every map, side by side on the sky."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple, Protocol

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.image import AxesImage
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Circle
from matplotlib.patheffects import withStroke

from ..maps import KINEMATIC, MAP_NAMES, Maps, Observation
from ..model.scene import kpc_per_arcsec
from ..psf import PSF, ImagePSF
from .display import ERROR_UNITS, MAP_SYMBOLS, MAP_TITLES
from .rendering import Figure

COLOUR_MAPS = {"brightness": "magma", "velocity": "RdBu_r", "dispersion": "viridis", "ml": "cividis"}
"""Perceptually uniform, and diverging about zero for velocities (red recedes)."""
RESIDUAL_MAP = "PuOr"
RESIDUAL_LIMIT = 4.0
"""Residuals are drawn up to this many standard deviations."""
MASKED = "#C8C8C8"


class Frame(NamedTuple):
    """The part of the canvas that is drawn.

    Attributes:
        rows, columns: slices of the maps.
        extent: of these in arcsec from the origin, for `imshow`: left (east), right, bottom, top (north).
    """

    rows: slice
    columns: slice
    extent: tuple[float, float, float, float]


class Answer(Protocol):
    """What can be drawn over the data: a posterior, or a first answer."""

    @property
    def binned_maps(self) -> Maps:
        """The model as the data see it, (n, n) each."""

    @property
    def reduced_chi2(self) -> Mapping[str, float]:
        """Per available map."""

    def best_values(self) -> dict[str, float]:
        """Name -> value of every parameter of the model."""


def residuals(observation: Observation, posterior: Answer) -> Maps:
    """(data - model) / error, (n, n) each; NaN where there are no data."""
    planes = zip(observation.values, observation.errors, observation.good, posterior.binned_maps, strict=True)
    return Maps(
        *(
            np.where(good, np.divide(value - model, error, where=good, out=np.full(np.shape(good), np.nan)), np.nan)
            for value, error, good, model in planes
        )
    )


def maps_figure(observation: Observation, posterior: Answer) -> Figure:
    """One row per available map: data, model at the best sample, residual in standard deviations.

    Pixels without data are grey. North is up and east to the left; the circle is the FWHM of the PSF, the cross the
    fitted centre, and the line in the model's velocity the receding (solid) and approaching half of the major axis.
    """
    names = observation.available
    frame = frame_of(observation)
    # A row of panels is as tall as its panels are wide.
    layout = ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.04, wspace=0.02, hspace=0.02)
    figure = Figure(figsize=(10.6, 3.05 * len(names) + 0.45), layout=layout)
    axes = figure.subplots(len(names), 3, sharex=True, sharey=True, squeeze=False)
    sigma = residuals(observation, posterior)
    for row, name in zip(axes, names, strict=True):
        index = MAP_NAMES.index(name)
        good = observation.good[index]
        data = np.where(good, observation.values[index], np.nan)
        model = np.where(good, posterior.binned_maps[index], np.nan)
        low, high = colour_limits(name, data)
        for axis, image in zip(row, (data, model), strict=False):
            drawn = draw_map(axis, image, frame, COLOUR_MAPS[name], low, high)
        bar = figure.colorbar(drawn, ax=list(row[:2]), pad=0.01, aspect=18, extend="both")
        bar.set_label(MAP_SYMBOLS[name], fontsize=9)
        bar.ax.tick_params(labelsize=8)
        drawn = draw_map(row[2], sigma[index], frame, RESIDUAL_MAP, -RESIDUAL_LIMIT, RESIDUAL_LIMIT)
        bar = figure.colorbar(drawn, ax=row[2], pad=0.01, aspect=18, extend="both")
        bar.set_label(r"(data $-$ model) / error", fontsize=9)
        bar.ax.tick_params(labelsize=8)
        row[0].set_ylabel(f"{MAP_TITLES[name]}\n" + r"$\Delta\delta$ [arcsec]", fontsize=9)
        _beam(row[0], observation.psf_kinematics if name in KINEMATIC else observation.psf_photometry, observation)
        if name in posterior.reduced_chi2:
            corner_text(row[2], rf"$\chi^2_\nu = {posterior.reduced_chi2[name]:.2f}$")
        if name == "velocity":
            _major_axis(row[1], observation, posterior, frame)
    for axis, title in zip(axes[0], ("data", "model", "residual"), strict=True):
        axis.set_title(title, fontsize=11)
    for axis in axes[-1]:
        axis.set_xlabel(r"$\Delta\alpha\,\cos\delta$ [arcsec]", fontsize=9)
    draw_compass(axes[0, 0])
    return figure


def observation_figure(observation: Observation) -> Figure:
    """One column per available map: the data above, their errors below.

    Pixels without data are grey. North is up and east to the left; the circle is the FWHM of the PSF.
    """
    names = observation.available
    frame = frame_of(observation)
    layout = ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.04, wspace=0.02, hspace=0.02)
    figure = Figure(figsize=(2.9 * len(names) + 0.5, 6.2), layout=layout)
    axes = figure.subplots(2, len(names), sharex=True, sharey=True, squeeze=False)
    for column, name in zip(axes.T, names, strict=True):
        index = MAP_NAMES.index(name)
        good = observation.good[index]
        planes = [np.where(good, plane[index], np.nan) for plane in (observation.values, observation.errors)]
        limits = [colour_limits(name, planes[0]), (0.0, float(np.nanpercentile(planes[1], 99)))]
        labels = (MAP_SYMBOLS[name], f"error [{ERROR_UNITS[name]}]")
        for axis, plane, (low, high), colours, label in zip(
            column, planes, limits, (COLOUR_MAPS[name], "cividis"), labels, strict=True
        ):
            drawn = draw_map(axis, plane, frame, colours, low, high)
            bar = figure.colorbar(drawn, ax=axis, location="bottom", pad=0.01, aspect=20, shrink=0.88, extend="both")
            bar.set_label(label, fontsize=9)
            bar.ax.tick_params(labelsize=8)
        column[0].set_title(MAP_TITLES[name], fontsize=11)
        _beam(column[0], observation.psf_kinematics if name in KINEMATIC else observation.psf_photometry, observation)
        column[1].set_xlabel(r"$\Delta\alpha\,\cos\delta$ [arcsec]", fontsize=9)
    for axis in axes[:, 0]:
        axis.set_ylabel(r"$\Delta\delta$ [arcsec]", fontsize=9)
    draw_compass(axes[0, 0])
    return figure


def frame_of(observation: Observation) -> Frame:
    """A square around all good pixels, two pixels wider, within the canvas."""
    any_good = np.any(np.array(observation.good), axis=0)
    rows, columns = np.flatnonzero(any_good.any(axis=1)), np.flatnonzero(any_good.any(axis=0))
    side = min(max(int(rows[-1] - rows[0]), int(columns[-1] - columns[0])) + 5, observation.size)
    slices, edges = [], []
    origin_x, origin_y = observation.origin  # type: ignore[misc]
    for used, origin in ((rows, origin_y), (columns, origin_x)):
        first = int(np.clip((used[0] + used[-1] + 1 - side) // 2, 0, observation.size - side))
        slices.append(slice(first, first + side))
        edges.append([(edge - 0.5 - origin) * observation.pixel_scale for edge in (first, first + side)])
    (bottom, top), (left, right) = edges
    return Frame(slices[0], slices[1], (-left, -right, bottom, top))


def colour_limits(name: str, data: np.ndarray) -> tuple[float, float]:
    """Colour range that single bad pixels do not decide; symmetric about zero for velocities."""
    # Light and mass-to-light ratios have their few brightest pixels in the centre, which should not be burnt out.
    low, high = np.nanpercentile(data, (1, 99) if name in KINEMATIC else (1, 99.8))
    if name == "velocity":
        high = max(abs(low), abs(high))
        low = -high
    margin = 0.02 * (high - low) or 1e-3 * max(abs(high), 1)
    return float(low - margin), float(high + margin)


def draw_map(axis: Axes, image: np.ndarray, frame: Frame, colours: str, low: float, high: float) -> AxesImage:
    """The part of an image (n, n) that is in the frame, grey where it is NaN, its colours between `low` and `high`."""
    axis.set_facecolor(MASKED)
    axis.tick_params(labelsize=8, direction="in", top=True, right=True)
    # Transparent where there are no data, over the grey of the panel.
    shown = np.ma.masked_invalid(image[frame.rows, frame.columns])
    return axis.imshow(
        shown,
        origin="lower",
        extent=frame.extent,
        cmap=colormaps[colours],
        vmin=low,
        vmax=high,
        interpolation="nearest",
    )


def _beam(axis: Axes, psf: PSF, observation: Observation) -> None:
    if isinstance(psf, ImagePSF):
        image = np.asarray(psf.image)
        radius = math.sqrt(np.sum(image >= image.max() / 2) / math.pi) * observation.pixel_scale
    else:
        radius = psf.fwhm / 2
    left, right = axis.get_xlim()
    bottom, top = axis.get_ylim()
    place = (left + 0.1 * (right - left), bottom + 0.1 * (top - bottom))
    axis.add_patch(Circle(place, radius, facecolor="white", edgecolor="black", hatch="////", linewidth=0.8))


def draw_compass(axis: Axes) -> None:
    """Arrows to the north (up) and to the east (left), in the corner that hexagons leave free, and outlined so that
    they can be seen on any colour."""
    outline = [withStroke(linewidth=2.5, foreground="white")]
    corner, length = (0.95, 0.865), 0.075
    for letter, (dx, dy) in (("N", (0, 1)), ("E", (-1, 0))):
        end = (corner[0] + length * dx, corner[1] + length * dy)
        style = {"arrowstyle": "-|>", "color": "black", "shrinkA": 0, "shrinkB": 0, "path_effects": outline}
        axis.annotate("", end, corner, xycoords="axes fraction", arrowprops=style)
        place = (end[0] + 0.03 * dx, end[1] + 0.032 * dy)
        axis.annotate(
            letter, place, xycoords="axes fraction", fontsize=8, ha="center", va="center", path_effects=outline
        )


def _major_axis(axis: Axes, observation: Observation, posterior: Answer, frame: Frame) -> None:
    values = posterior.best_values()
    if "position_angle" not in values:
        return
    kpc = kpc_per_arcsec(observation.redshift)
    centre = np.array([values["x0"], values["y0"]]) / kpc
    length = 0.42 * abs(frame.extent[1] - frame.extent[0])
    towards = np.array([math.cos(values["position_angle"]), math.sin(values["position_angle"])])
    for sign, style in ((1, "-"), (-1, ":")):
        end = centre + sign * length * towards
        # Columns run against right ascension.
        axis.plot(-np.array([centre[0], end[0]]), [centre[1], end[1]], color="black", linestyle=style, linewidth=1.1)
    axis.plot(-centre[0], centre[1], marker="+", color="black", markersize=8)


def corner_text(axis: Axes, text: str) -> None:
    """A few words in the upper left corner of a panel."""
    box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 2}
    axis.text(0.04, 0.95, text, transform=axis.transAxes, fontsize=9, va="top", bbox=box)
