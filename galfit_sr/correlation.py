"""Noise that is correlated between neighbouring pixels, as in cubes that are put together from dithered fibres.

Independent noise, smoothed with a Gaussian of standard deviation s, has a correlation of exp(-d^2 / (4 s^2)) between
pixels a distance d apart, which is a Gaussian too, wider by sqrt(2). It is the product of that along both sides.
"""

from __future__ import annotations

import math

import numpy as np

from .errors import InputError
from .numeric import number

_FWHM = math.sqrt(8 * math.log(2))


def check_correlation(fwhm: float) -> None:
    """Raises InputError unless the width of the noise's correlation is 0 or a positive number."""
    if not 0 <= number(fwhm) < math.inf:
        raise InputError(
            f"correlation is {fwhm!r}; the FWHM in arcsec of the Gaussian that correlates the noise is needed,"
            " 0 for none"
        )


def along_a_side(size: int, fwhm: float) -> np.ndarray:
    """(size, size) correlation of pixels in a row; two pixels of a map have that of their rows times their columns'.

    Args:
        size: pixels along a side.
        fwhm: of the Gaussian that smoothed the noise, in pixels; 0 for independent noise.
    """
    if fwhm == 0:
        return np.eye(size)
    distance = np.subtract.outer(np.arange(size), np.arange(size))
    return np.asarray(np.exp(-((distance * _FWHM / (2 * fwhm)) ** 2)))


def width_of(neighbours: float) -> float:
    """FWHM in pixels of the Gaussian that gives pixels next to each other this correlation, between 0 and 1."""
    return _FWHM / (2 * math.sqrt(-math.log(neighbours)))


def deviates(random: np.random.Generator, size: int, fwhm: float) -> np.ndarray:
    """(size, size) normal deviates of unit variance everywhere, correlated as in `along_a_side`."""
    values, vectors = np.linalg.eigh(along_a_side(size, fwhm))
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    return np.asarray(root @ random.standard_normal((size, size)) @ root.T)


def shared(field: np.ndarray, labels: np.ndarray, fwhm: float) -> np.ndarray:
    """Deviates of unit variance, correlated, averaged over the pixels that share a label, and of unit variance again.

    Args:
        field: (n, n) from `deviates`.
        labels: (n, n) int, -1 for pixels that stay as they are.
        fwhm: as for `field`.
    """
    weights = _weights(labels, along_a_side(len(field), fwhm))
    inside = labels >= 0
    sums = np.bincount(labels[inside], (weights * field)[inside])
    found = field.copy()
    found[inside] = sums[labels[inside]]
    return found


def inflation(labels: np.ndarray, fwhm: float) -> float:
    """Variance of the mean of a map's data, each in units of its error, over that of as many independent data.

    It is the sum of a datum's correlations with all data, itself included, averaged over the data. Far from the edges
    of an unbinned map it is the sum of the correlation over the plane, 4 pi s^2 pixels. The average of a bin is taken
    with equal weights, and its error as that of the average, correlation within the bin included.

    Args:
        labels: (n, n) int, the datum that a pixel belongs to, -1 for none.
        fwhm: of the Gaussian that smoothed the noise, in pixels.
    """
    side = along_a_side(len(labels), fwhm)
    weights = _weights(labels, side)
    return float(np.sum(weights * (side @ weights @ side)) / np.unique(labels[labels >= 0]).size)


def _weights(labels: np.ndarray, side: np.ndarray) -> np.ndarray:
    """(n, n) factors with which the sum over the pixels of a label has unit variance; 0 where there is none."""
    weights = np.zeros(labels.shape)
    pixels = np.flatnonzero(labels.ravel() >= 0)
    order = pixels[np.argsort(labels.ravel()[pixels], kind="stable")]
    starts = np.flatnonzero(np.diff(labels.ravel()[order])) + 1
    for group in np.split(order, starts):
        y, x = np.unravel_index(group, labels.shape)
        weights[y, x] = 1 / math.sqrt(np.sum(side[np.ix_(y, y)] * side[np.ix_(x, x)]))
    return weights
