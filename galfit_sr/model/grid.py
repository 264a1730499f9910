"""Canvases: square grids of pixels on the sky."""

from __future__ import annotations

import dataclasses

from ..errors import InputError
from ..numeric import is_positive, whole


@dataclasses.dataclass(frozen=True)
class Canvas:
    """A square of `size` x `size` pixels of `pixel_scale` arcsec.

    The default holds every MaNGA bundle, so that one compiled program serves a survey.

    Raises:
        InputError: a size that is no whole number of at least 2, or a pixel scale that is not positive.
    """

    size: int = 80
    pixel_scale: float = 0.5

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", whole("canvas size", self.size, 2))
        if not is_positive(self.pixel_scale):
            raise InputError(f"pixel scale is {self.pixel_scale!r} arcsec; a positive number is needed")


FULL_RESOLUTION = Canvas(80, 0.5)
LOW_RESOLUTION = Canvas(20, 2.0)
"""Each of its pixels is a 4x4 block of the full-resolution canvas."""
