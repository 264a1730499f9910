"""Point spread functions of images and kinematics."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from .errors import InputError
from .numeric import is_positive, number


@dataclasses.dataclass(frozen=True)
class GaussianPSF:
    """Circular Gaussian; `fwhm` in arcsec."""

    fwhm: float

    def __post_init__(self) -> None:
        _positive("FWHM of the PSF", self.fwhm)


@dataclasses.dataclass(frozen=True)
class DoubleGaussianPSF:
    """Concentric circular Gaussians, `fwhm` and `fwhm_wide` in arcsec; `wide_fraction` of the light is in the wider."""

    fwhm: float
    fwhm_wide: float
    wide_fraction: float

    def __post_init__(self) -> None:
        _positive("FWHM of the PSF", self.fwhm)
        _positive("wide FWHM of the PSF", self.fwhm_wide)
        if not 0 <= number(self.wide_fraction) <= 1:
            raise InputError(f"wide fraction of the PSF is {self.wide_fraction!r}; a number from 0 to 1 is needed")


@dataclasses.dataclass(frozen=True)
class MoffatPSF:
    """Circular Moffat profile, (1 + (r/alpha)^2)^-beta; `fwhm` in arcsec, `beta` > 1."""

    fwhm: float
    beta: float

    def __post_init__(self) -> None:
        _positive("FWHM of the PSF", self.fwhm)
        if not 1 < number(self.beta) < math.inf:
            raise InputError(f"beta of the Moffat PSF is {self.beta!r}; a number above 1 is needed")


@dataclasses.dataclass(frozen=True)
class ImagePSF:
    """A kernel given as an image on the pixels of the maps.

    Attributes:
        image: (m, m) rows of floats, m odd, the centre in the middle; pure numbers of any sum, which is made 1.
    """

    image: tuple[tuple[float, ...], ...]

    def __post_init__(self) -> None:
        try:
            array = np.asarray(self.image, dtype=float)
        except (TypeError, ValueError) as error:
            raise InputError("the PSF image is no table of numbers; rows of as many numbers each are needed") from error
        if array.ndim != 2 or array.shape[0] != array.shape[1] or array.shape[0] % 2 == 0:
            raise InputError(f"the PSF image has shape {array.shape}; a square with an odd side is needed")
        if not np.all(np.isfinite(array)) or array.min() < 0 or array.sum() <= 0:
            raise InputError("the PSF image must be finite, non-negative and not all zero")


PSF = GaussianPSF | DoubleGaussianPSF | MoffatPSF | ImagePSF


def _positive(what: str, value: float) -> None:
    if not is_positive(value):
        raise InputError(f"{what} is {value!r} arcsec; a positive number is needed")


IMAGING, SPECTROSCOPY = GaussianPSF(1.3), GaussianPSF(2.5)
"""What light and kinematics are seen through unless the data say otherwise."""
