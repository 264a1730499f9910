"""A galaxy at a glance: light and velocity side by side, a few kilobytes."""

from __future__ import annotations

import io

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import to_rgb
from matplotlib.image import imsave

from ..analysis.map_figure import COLOUR_MAPS, MASKED, colour_limits, frame_of
from ..maps import Observation

_HEIGHT = 80


def thumbnail(observation: Observation) -> bytes:
    """PNG of brightness and velocity as observed, north up and east to the left; masked pixels are grey."""
    frame = frame_of(observation)
    panels = []
    for name in ("brightness", "velocity"):
        values, good = (
            getattr(maps, name)[frame.rows, frame.columns] for maps in (observation.values, observation.good)
        )
        panels.append(_coloured(name, values, good))
    gap = np.ones((len(panels[0]), 1, 3))
    zoom = max(1, _HEIGHT // len(gap))
    image = np.concatenate([panels[0], gap, panels[1]], axis=1).repeat(zoom, axis=0).repeat(zoom, axis=1)
    stream = io.BytesIO()
    imsave(stream, image, format="png", origin="lower")
    return stream.getvalue()


def _coloured(name: str, values: np.ndarray, good: np.ndarray) -> np.ndarray:
    """(ny, nx, 3) colours from 0 to 1."""
    grey = np.broadcast_to(to_rgb(MASKED), (*good.shape, 3))
    if not np.any(good):
        return grey
    low, high = colour_limits(name, values[good])
    scaled = np.clip((np.where(good, values, low) - low) / (high - low), 0, 1)
    return np.where(good[..., None], colormaps[COLOUR_MAPS[name]](scaled)[..., :3], grey)
