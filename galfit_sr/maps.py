"""What is observed and what is predicted: four maps on a square canvas, with errors, masks and bins."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .correlation import check_correlation
from .errors import InputError
from .psf import PSF
from .shown import Shown

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAP_NAMES = ("brightness", "velocity", "dispersion", "ml")
KINEMATIC = ("velocity", "dispersion")
MAP_WORDS = {"brightness": "brightness", "velocity": "velocity", "dispersion": "dispersion", "ml": "mass-to-light"}
MAP_UNITS = {"brightness": "dex(Lsun kpc-2)", "velocity": "km/s", "dispersion": "km/s", "ml": "Msun/Lsun"}


class Maps(NamedTuple):
    """Four maps, row = y and column = x, both ascending. Also anything else that comes once per map: errors, masks.

    Attributes:
        brightness: (n, n) log10 of L_sun/kpc^2.
        velocity: (n, n) km/s, of the light along the line of sight; positive where it recedes.
        dispersion: (n, n) km/s, root of the second central moment.
        ml: (n, n) M_sun/L_sun, mass over light.
    """

    brightness: Any
    velocity: Any
    dispersion: Any
    ml: Any


TYPICAL_NOISE = Maps(0.02, 5.0, 5.0, 0.1)
"""What maps of a survey are good to: dex, km/s, km/s, M_sun/L_sun."""


@dataclasses.dataclass(frozen=True, eq=False)
class Observation(Shown):
    """Four maps of one galaxy on a square canvas, padded with masked pixels.

    Attributes:
        name: of the galaxy.
        redshift: for scales and the critical density; must be positive.
        pixel_scale: arcsec per pixel.
        psf_photometry, psf_kinematics: point spread functions.
        values: (n, n) float64 each, units as in `Maps`. Velocities are relative to the redshift.
        errors: (n, n) float64 each, one standard deviation, positive wherever `good`.
        good: (n, n) bool each; all False for a missing map.
        bins: (n, n) int, label of the Voronoi bin that velocity and dispersion of the pixel belong to, -1 for none;
            None if every pixel stands for itself. Values, errors and `good` are equal in all pixels of a bin, and
            the likelihood counts every bin once.
        correlation: FWHM [arcsec] of the Gaussian that smoothed the noise between pixels, 0 for independent noise; what
            the likelihood assumes unless it is told otherwise.
        origin: (x, y), the position on the canvas, in pixels counted from 0 at the first pixel's centre, that the
            centre (x0, y0) = (0, 0) of a model has.
        sky: (right ascension, declination) of the origin in degree, or None. East is to the left (x falls towards
            east), north is up.
        notes: sentences about the data that a reader of the results should see (quality flags, dropped bins).
        truth: name -> value of the parameters that made a mock, in the units of the model; empty for real data.
        photometry: what the survey says, for comparison only, units in the names (for instance "reff_arcsec", "pa_deg",
            "ellipticity").
    """

    name: str
    redshift: float
    pixel_scale: float
    psf_photometry: PSF
    psf_kinematics: PSF
    values: Maps
    errors: Maps
    good: Maps
    bins: np.ndarray | None = None
    correlation: float = 0.0
    origin: tuple[float, float] | None = None
    sky: tuple[float, float] | None = None
    notes: tuple[str, ...] = ()
    truth: Mapping[str, float] = dataclasses.field(default_factory=dict)
    photometry: Mapping[str, float] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        shape = np.shape(self.values.brightness)
        if len(shape) != 2 or shape[0] != shape[1]:
            raise InputError(f"{self.name}: maps have shape {shape}; a square canvas is needed")
        for kind in ("values", "errors", "good"):
            for name, array in zip(MAP_NAMES, getattr(self, kind), strict=True):
                if np.shape(array) != shape:
                    raise InputError(f"{self.name}: {name} {kind} have shape {np.shape(array)}; {shape} is needed")
        if self.bins is not None and np.shape(self.bins) != shape:
            raise InputError(f"{self.name}: bins have shape {np.shape(self.bins)}; {shape} is needed")
        for what, value in (("redshift", self.redshift), ("pixel scale", self.pixel_scale)):
            if not (np.isfinite(value) and value > 0):
                raise InputError(f"{self.name}: {what} is {value}; a positive number is needed")
        check_correlation(self.correlation)
        if not any(np.any(g) for g in self.good):
            raise InputError(f"{self.name}: every pixel of every map is masked; nothing is left to fit")
        for name, value, error, good in zip(MAP_NAMES, self.values, self.errors, self.good, strict=True):
            bad = good & ~(np.isfinite(value) & np.isfinite(error) & (error > 0))
            if np.any(bad):
                y, x = np.argwhere(bad)[0]
                raise InputError(
                    f"{self.name}: {name} has {int(bad.sum())} unmasked pixels whose value is not finite or whose error"
                    f" is not positive, the first at row {y}, column {x} ({value[y, x]} +- {error[y, x]})"
                )
        if self.origin is None:
            middle = (shape[0] - 1) / 2
            object.__setattr__(self, "origin", (middle, middle))

    @property
    def size(self) -> int:
        """Pixels along a side of the canvas."""
        return self.values.brightness.shape[0]

    @property
    def available(self) -> tuple[str, ...]:
        """Names of the maps that hold at least one good pixel."""
        return tuple(name for name, good in zip(MAP_NAMES, self.good, strict=True) if np.any(good))

    def plot(self) -> Figure:
        """Every available map with its errors; north up, east left, masked pixels grey."""
        return self._draw()

    def labels(self, name: str) -> np.ndarray:
        """(n, n) int labels: the datum of the map `name` that each pixel belongs to, -1 for none; a bin shares one."""
        good = getattr(self.good, name)
        own = np.arange(good.size).reshape(good.shape)
        return np.where(good, own if self.bins is None or name not in KINEMATIC else self.bins, -1)

    def fingerprint(self) -> str:
        """Hexadecimal digest of everything that the likelihood sees; equal for equal data."""
        digest = hashlib.sha256()
        for value, error, good in zip(self.values, self.errors, self.good, strict=True):
            for array in (np.where(good, value, 0.0), np.where(good, error, 0.0), good):
                digest.update(np.ascontiguousarray(array).tobytes())
        if self.bins is not None:
            digest.update(np.ascontiguousarray(self.bins, dtype=np.int64).tobytes())
        numbers = (self.redshift, self.pixel_scale, self.origin, self.psf_photometry, self.psf_kinematics)
        digest.update(repr(numbers if self.correlation == 0 else (*numbers, self.correlation)).encode())
        return digest.hexdigest()
