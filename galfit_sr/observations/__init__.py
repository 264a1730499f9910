"""Observations: real MaNGA maps, observation files, and mocks."""

from __future__ import annotations

import os

from ..errors import InputError
from ..maps import Observation
from .files import EXTENSIONS as STORED
from .files import read_observation, stored_observation, write_observation
from .fits_input import load
from .manga import EXTENSIONS as SURVEY
from .manga import manga_observation, read_manga
from .mock import MOCK_TRUTH, make_mock, mock_galaxy_path
from .region import Region, apply_region

__all__ = ["MOCK_TRUTH", "make_mock", "mock_galaxy_path", "read", "read_manga", "read_observation", "write_observation"]


def read(
    path: str | os.PathLike[str], region: Region | None = None, *, masses: str | os.PathLike[str] | None = None
) -> Observation:
    """Read an observation file or a MaNGA MAPS file, whichever it is.

    Args:
        path: of the file, plain or gzipped.
        region: pixels to leave out on top of the file's own masks, see `region.apply_region`.
        masses: FITS file of stellar masses that go with a MAPS file, see `read_manga`.

    Raises:
        InputError: neither of the two, or one that cannot be used; masses for an observation file.
    """
    file = load(path)
    if any(name in file for name in STORED):
        if masses is not None:
            raise InputError(
                f"masses {os.fspath(masses)!r} are for a MaNGA MAPS file only; {file.path} is an observation file,"
                " which has its own image ML"
            )
        return apply_region(stored_observation(file), region)
    if any(name in file for name in SURVEY):
        return manga_observation(file, region=region, masses=masses)
    raise InputError(
        f"{file.path} is neither a MaNGA MAPS file (extensions {', '.join(SURVEY[:3])}, ...) nor an observation file"
        f" ({', '.join(STORED)})"
    )
