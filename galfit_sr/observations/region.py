"""A user's region mask on top of the data's own."""

from __future__ import annotations

import dataclasses
import math
import os
import re
from collections.abc import Sequence

import numpy as np

from ..errors import InputError
from ..maps import KINEMATIC, MAP_NAMES, Maps, Observation
from .fits_input import load

Region = str | os.PathLike[str] | Sequence[str]
"""A FITS image, or one or more circles; see `apply_region`."""

_NUMBER = r"\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*(?:\"|'')?\s*"
_CIRCLE = re.compile(rf"\s*circle\({_NUMBER},{_NUMBER},{_NUMBER}\)\s*", re.IGNORECASE)


def apply_region(
    observation: Observation, region: Region | None, inner: tuple[int, int, int, int] | None = None
) -> Observation:
    """The observation without the pixels of a region, and a note that says how many were good before.

    A bin that the region touches is left out whole: its one spectrum contains the region's light.

    Args:
        observation: any.
        region: path of a FITS file whose first image is not zero (or not a number) in the pixels to leave out, on the
            canvas or on the survey's image; or circles, "circle(x, y, r)", as one string (several of them separated by
            semicolons or line breaks) or a sequence of strings. x, y, r are in arcsec; (x, y) is the offset of the
            circle's centre from the galaxy's, x towards east, y towards north. None changes nothing.
        inner: (first row, first column, rows, columns) of the survey's image on the canvas, if it was padded.

    Raises:
        InputError: the region cannot be understood, has another shape, or leaves nothing.
    """
    if region is None:
        return observation
    circles = _circles(region)
    if circles is not None:
        excluded = _inside(observation, circles)
        label = "; ".join(f"circle({x:g}, {y:g}, {r:g})" for x, y, r in circles)
    else:
        assert isinstance(region, str | os.PathLike)
        excluded = _image(observation, region, inner)
        label = os.path.basename(os.fspath(region))
    good = {}
    for name, was in zip(MAP_NAMES, observation.good, strict=True):
        out = excluded
        if name in KINEMATIC and observation.bins is not None:
            out = excluded | ((observation.bins >= 0) & np.isin(observation.bins, observation.bins[excluded]))
        good[name] = was & ~out
    lost = {name: int(was.sum() - good[name].sum()) for name, was in zip(MAP_NAMES, observation.good, strict=True)}
    counts = ", ".join(f"{count} {name}" for name, count in lost.items() if count) or "no"
    note = f"The region mask {label} leaves out {counts} pixels that were good."
    return dataclasses.replace(observation, good=Maps(**good), notes=(*observation.notes, note))


def _circles(region: Region) -> list[tuple[float, float, float]] | None:
    """Circles, or None if the region is a path."""
    if isinstance(region, os.PathLike):
        return None
    if isinstance(region, str):
        if not region.lstrip().lower().startswith("circle("):
            return None
        texts = [text for text in re.split(r"[;\n]", region) if text.strip()]
    elif isinstance(region, Sequence):
        texts = list(region)
    else:
        raise InputError(f"the region is {region!r}; the path of a FITS file or circle(x, y, r) is needed")
    circles = []
    for text in texts:
        match = _CIRCLE.fullmatch(str(text))
        numbers = [float(n) for n in match.groups()] if match else []
        if not numbers or not all(map(math.isfinite, numbers)) or numbers[2] <= 0:
            raise InputError(
                f"region {str(text).strip()!r} is not a circle; circle(x, y, r) with offsets from the galaxy's centre"
                " and a positive radius, all in arcsec, is needed"
            )
        circles.append((numbers[0], numbers[1], numbers[2]))
    return circles


def _inside(observation: Observation, circles: list[tuple[float, float, float]]) -> np.ndarray:
    assert observation.origin is not None  # set by Observation itself
    rows, columns = np.indices(observation.values.brightness.shape)
    east = -(columns - observation.origin[0]) * observation.pixel_scale
    north = (rows - observation.origin[1]) * observation.pixel_scale
    inside = np.zeros(rows.shape, dtype=bool)
    for x, y, r in circles:
        inside |= np.hypot(east - x, north - y) <= r
    return inside


def _image(
    observation: Observation, path: str | os.PathLike[str], inner: tuple[int, int, int, int] | None
) -> np.ndarray:
    file = load(path)
    mask = file.first_image()
    shape = observation.values.brightness.shape
    if mask.shape == shape:
        return mask != 0
    if inner is None or mask.shape != inner[2:]:
        also = "" if inner is None else f", or {inner[2:]} on the survey's image,"
        raise InputError(f"{file.path}: the region mask has shape {mask.shape}; {shape} on the canvas{also} is needed")
    full = np.zeros(shape, dtype=bool)
    row, column, height, width = inner
    full[row : row + height, column : column + width] = mask != 0
    return full
