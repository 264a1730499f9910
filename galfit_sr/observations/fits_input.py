"""FITS files as they come from users: opened, checked and taken apart without a traceback or a warning.

Everything is read into memory first, so that a damaged file is found out before anything is computed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gzip
import io
import os
import warnings
import zlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from astropy.io import fits

from ..errors import InputError
from ..maps import MAP_NAMES, Observation

BLOCK = 2880
"""Bytes in a FITS block."""

_RANGES = {"brightness": (-20.0, 20.0), "velocity": (-1e4, 1e4), "dispersion": (-1e4, 1e4), "ml": (-1e4, 1e4)}
_ERROR_RANGE = (1e-8, 1e5)


@dataclasses.dataclass(frozen=True)
class FitsFile:
    """An opened FITS file.

    Attributes:
        path: as the user gave it, for messages.
        primary: the primary HDU.
        extensions: upper-case name -> HDU; the first one where a name occurs twice.
    """

    path: str
    primary: fits.PrimaryHDU
    extensions: Mapping[str, Any]

    def __contains__(self, name: object) -> bool:
        return name in self.extensions

    def require(self, names: Iterable[str], kind: str) -> None:
        """Check that the extensions are there.

        Raises:
            InputError: names those that are missing.
        """
        missing = [name for name in names if name not in self]
        if missing:
            raise InputError(f"{self.path} is not a complete {kind}: missing {', '.join(missing)}")

    def damaged(self, names: Iterable[str]) -> list[str]:
        """Those of the extensions, and `PRIMARY`, that do not match their checksums; none in a file without.

        To be asked before any image is read, which changes what is in memory.
        """
        hdus = {"PRIMARY": self.primary, **{name: self.extensions[name] for name in names}}
        if not any("CHECKSUM" in hdu.header for hdu in hdus.values()):
            return []
        return [name for name, hdu in hdus.items() if not _matches(hdu)]

    def image(self, name: str, shape: tuple[int, ...] | None = None) -> np.ndarray:
        """The image of an extension as float64, of the given shape if one is given.

        Raises:
            InputError: no such extension, one without a readable image, or one of another shape.
        """
        self.require([name], "file")
        with _refusing(f"{self.path}: extension {name} cannot be read as an image of numbers"):
            array = np.array(self.extensions[name].data, dtype=np.float64)
        if array.ndim < 2 or array.size == 0:
            raise InputError(f"{self.path}: extension {name} holds no image")
        if shape is not None and array.shape != shape:
            raise InputError(f"{self.path}: {name} has shape {array.shape}; {shape} is needed, as in the other maps")
        return array

    def first_image(self) -> np.ndarray:
        """The first image, in the primary HDU or an extension.

        Raises:
            InputError: there is none with two axes.
        """
        with _refusing(f"{self.path}: its images cannot be read"):
            for hdu in (self.primary, *self.extensions.values()):
                if hdu.is_image and hdu.data is not None and hdu.data.ndim == 2:
                    return np.array(hdu.data, dtype=np.float64)
        raise InputError(f"{self.path} holds no image with two axes")

    def labels(self, name: str, array: np.ndarray) -> np.ndarray:
        """Whole numbers from an image of bin labels; -1 for everything negative.

        Raises:
            InputError: a label is not a number, or not one below the number of pixels.
        """
        if not np.all(np.isfinite(array)) or np.any(array >= array.size):
            raise InputError(
                f"{self.path}: {name} holds values from {np.nanmin(array, initial=0)} to"
                f" {np.nanmax(array, initial=0)}; whole numbers from -1 to {array.size - 1} are needed"
            )
        return np.maximum(np.rint(array), -1).astype(np.int64)

    def pairs(self, name: str) -> dict[str, float]:
        """Name -> value from a table with the columns `name` and `value`; empty if there is no such table.

        Raises:
            InputError: the table has other columns, or a value is not a finite number.
        """
        if name not in self:
            return {}
        with _refusing(f"{self.path}: {name} cannot be read as a table with the columns name and value"):
            table = self.extensions[name].data
            found = {str(key).strip(): float(value) for key, value in zip(table["name"], table["value"], strict=True)}
        for key, value in found.items():
            if not np.isfinite(value):
                raise InputError(f"{self.path}: {name} gives {key} = {value}; a finite number is needed")
        return found

    def value(self, key: str) -> Any:
        """The value of a card of the primary header, None if it is absent or has no value.

        Raises:
            InputError: the card cannot be understood.
        """
        with _refusing(f"{self.path}: header card {key} cannot be understood"):
            value = self.primary.header.get(key)
        return None if isinstance(value, fits.card.Undefined) else value

    def history(self) -> list[str]:
        """The HISTORY cards of the primary header."""
        with _refusing(f"{self.path}: the HISTORY cards cannot be understood"):
            return [str(card) for card in self.primary.header.get("HISTORY", [])]

    def text(self, key: str) -> str | None:
        """A card's value as text without surrounding blanks, None if there is nothing."""
        value = self.value(key)
        return None if value is None else str(value).strip() or None

    def number(self, key: str, what: str, low: float, high: float) -> float:
        """A number between `low` and `high` from the primary header.

        Raises:
            InputError: the card is missing, no number, or outside the range.
        """
        value = self.value(key)
        if value is None:
            raise InputError(f"{self.path}: the header has no {key}; it gives {what}")
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise InputError(
                f"{self.path}: header card {key} is {value!r}; {what}, a number from {low:g} to {high:g}, is needed"
            )
        return float(value)

    def optional_number(self, key: str, what: str, low: float, high: float) -> float | None:
        """As `number`, but None if the card is missing."""
        return None if self.value(key) is None else self.number(key, what, low, high)


def load(path: str | os.PathLike[str]) -> FitsFile:
    """Read a FITS file, plain or gzipped.

    Raises:
        InputError: there is no such file, it cannot be read, is no FITS file, is damaged or ends too early.
    """
    if not isinstance(path, str | os.PathLike):
        raise InputError(f"the file is {path!r}; the path of a FITS file is needed")
    name = os.fspath(path)
    content = _content(name)
    if not content.startswith(b"SIMPLE"):
        raise InputError(f"{name} is not a FITS file")
    with _refusing(f"{name} is a damaged FITS file: its headers cannot be understood"):
        hdus = list(fits.open(io.BytesIO(content)))
        end = max(hdu.fileinfo()["datLoc"] + hdu.fileinfo()["datSpan"] for hdu in hdus)
        needed = max(hdu.fileinfo()["datLoc"] + _data_bytes(hdu) for hdu in hdus)
        extensions: dict[str, Any] = {}
        for hdu in hdus[1:]:
            extensions.setdefault(str(hdu.name).strip().upper(), hdu)
    # A last block that is not filled up is harmless and common; missing data are not, nor is half a header.
    if len(content) < needed:
        raise InputError(f"{name} is truncated: {len(content)} bytes of at least {end}")
    if content[end:].startswith(b"XTENSION"):
        raise InputError(f"{name} is truncated: its {len(content)} bytes end in the header of extension {len(hdus)}")
    return FitsFile(name, hdus[0], extensions)


def _matches(hdu: Any) -> bool:
    """Whether header and data have the sums that they were written with."""
    try:
        return hdu.verify_checksum() == 1 and hdu.verify_datasum() == 1
    except Exception:  # a sum that is no number, among others
        return False


def _data_bytes(hdu: Any) -> int:
    """Bytes that an extension's data cannot do without."""
    if isinstance(hdu, fits.CompImageHDU):
        # Its size is that of the image, not of what lies in the file; all but the last block is certain.
        return max(hdu.fileinfo()["datSpan"] - BLOCK + 1, 0)
    return hdu.size


def check_ranges(observation: Observation) -> Observation:
    """The observation itself, once its good pixels are known to hold numbers a galaxy can have.

    Raises:
        InputError: a value or an error beyond any galaxy, which would overflow in single precision later.
    """
    for name, value, error, good in zip(
        MAP_NAMES, observation.values, observation.errors, observation.good, strict=True
    ):
        for what, array, (low, high) in (("", value, _RANGES[name]), (" error", error, _ERROR_RANGE)):
            bad = good & ~((array >= low) & (array <= high))
            if np.any(bad):
                y, x = np.argwhere(bad)[0]
                raise InputError(
                    f"{observation.name}: {name}{what} of {array[y, x]:g} at row {y}, column {x} of the canvas;"
                    f" from {low:g} to {high:g} is allowed where the mask is 0"
                )
    return observation


def _content(name: str) -> bytes:
    if os.path.isdir(name):
        raise InputError(f"{name} is a folder; a FITS file is needed")
    if not os.path.exists(name):
        raise InputError(f"there is no file {name}")
    if not os.path.isfile(name):
        raise InputError(f"{name} is not an ordinary file; a FITS file is needed")
    try:
        with open(name, "rb") as stream:
            content = stream.read()
    except OSError as error:
        raise InputError(f"{name} cannot be read: {error.strerror}") from error
    if not content.startswith(b"\x1f\x8b"):
        return content
    try:
        return gzip.decompress(content)
    except EOFError as error:
        raise InputError(f"{name} is truncated: the gzip stream ends too early") from error
    except (OSError, zlib.error) as error:
        raise InputError(f"{name} is damaged: the gzip stream cannot be decompressed") from error


@contextlib.contextmanager
def _refusing(sentence: str) -> Iterator[None]:
    """Turn whatever astropy does with a damaged file, warnings included, into one sentence."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        # Damaged headers make astropy raise nearly every built-in exception, depending on the bit that flipped.
        except Exception as error:
            raise InputError(sentence) from error
