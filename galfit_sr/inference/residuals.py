"""Patterns in the residuals of a fit: neighbours that are alike, a centre that fits worse than the rest."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from scipy.stats import f as f_ratio
from scipy.stats import norm

from ..correlation import along_a_side, width_of
from ..maps import MAP_WORDS, Maps, Observation

SIGNIFICANCE = 5.0
"""Standard errors, or their equivalent in probability, beyond which a pattern is not chance."""
CENTRE = 0.1
"""Share of the data, the brightest, that counts as the centre."""


class _Residuals(NamedTuple):
    """Normalised residuals of a map, every datum once.

    Attributes:
        values: (d,) (model - data) / error.
        brightness: (d,) of the model.
        pairs: (2, p) data that share a side.
    """

    values: np.ndarray
    brightness: np.ndarray
    pairs: np.ndarray


def patterns(
    model: Maps, seen: Maps, fitted: Iterable[str], observation: Observation, correlation: float
) -> tuple[str, ...]:
    """Warnings of what the residuals tell about the model, the PSF and the noise.

    Args:
        model: (n, n) each, on every pixel.
        seen: (n, n) each, as the data see it.
        fitted: names of the maps that were fitted.
        observation: the data.
        correlation: of the noise, as the likelihood took it into account, FWHM [arcsec].
    """
    residuals = {name: _residuals(model, seen, observation, name) for name in fitted}
    side = along_a_side(observation.size, correlation / observation.pixel_scale)[observation.size // 2]
    expected = float(side[observation.size // 2 - 1])
    # Squares of correlated noise repeat each other as its correlation squared, products of neighbours about as much.
    repeated = float(np.sum(side**2)) ** 2
    return (
        *_alike(residuals, expected, repeated, observation.pixel_scale),
        *_worse_centre(residuals, repeated),
    )


def neighbour_correlation(values: np.ndarray, pairs: np.ndarray) -> float:
    """Mean product of the residuals of data next to each other, over their mean square; 0 if there are no pairs.

    Moran's (1950, Biometrika 37, 17) I with weights of 1 for data that share a side, around a mean of 0. Its variance
    is one over the number of pairs if residuals are independent.

    Args:
        values: (d,) residuals.
        pairs: (2, p) which of them are neighbours.
    """
    square = np.mean(values**2)
    if pairs.size == 0 or not square > 0:
        return 0.0
    return float(np.mean(values[pairs[0]] * values[pairs[1]]) / square)


def _alike(residuals: dict[str, _Residuals], expected: float, repeated: float, pixel_scale: float) -> list[str]:
    found, widths = [], []
    for name, own in residuals.items():
        number = neighbour_correlation(own.values, own.pairs)
        error = math.sqrt(repeated / max(own.pairs.shape[1], 1))
        if number - expected > SIGNIFICANCE * error:
            found.append(f"{MAP_WORDS[name]} ({number:.2f} +- {error:.2f})")
            widths.append(width_of(min(number, 0.99)) * pixel_scale)
    if not found:
        return []
    return [
        f"Neighbouring residuals are alike, beyond chance: their correlation is {', '.join(found)}, where"
        f" {expected:.2f} is expected. Either the model does not follow the data, because of a star, another PSF, or"
        " structure that it does not have: look at the residuals, leave out what does not belong (region), and check"
        f" the PSF. Or the noise is correlated: tell the likelihood (correlation = {max(widths):.2g} arcsec would"
        " account for all of it). Until then the errors of the parameters are too small."
    ]


def _worse_centre(residuals: dict[str, _Residuals], repeated: float) -> list[str]:
    """Whether the brightest data have larger residuals than the rest of their maps, whatever the errors' scale."""
    ratios, inner, outer = [], 0, 0
    for own in residuals.values():
        count = round(CENTRE * own.values.size)
        squares = own.values[np.argsort(own.brightness)] ** 2
        rest = float(np.mean(squares[:-count])) if count else 0.0
        if rest > 0:
            ratios.append(count * float(np.mean(squares[-count:])) / rest)
            inner, outer = inner + count, outer + squares.size - count
    ratio = sum(ratios) / max(inner, 1)
    if not ratios or f_ratio.sf(ratio, inner / repeated, outer / repeated) > norm.sf(SIGNIFICANCE):
        return []
    return [
        f"The brightest {100 * CENTRE:.0f} % of the data fit worse than the rest: their chi^2 is {ratio:.1f} times as"
        f" large. A PSF that is too wide or too narrow does this, or a nucleus that the model does not have: check the"
        " PSFs of light and kinematics, or leave out the nucleus (region). Until then expect masses, radii and"
        " anisotropies of bulge and inner disc to be off by more than their errors."
    ]


def _residuals(model: Maps, seen: Maps, observation: Observation, name: str) -> _Residuals:
    labels = observation.labels(name)
    value, error = getattr(observation.values, name), getattr(observation.errors, name)
    used = labels >= 0
    residual = np.where(used, getattr(seen, name) - value, 0.0) / np.where(used, error, 1.0)
    data, first = np.unique(labels, return_index=True)
    index = np.searchsorted(data, labels)
    beside = np.stack([index[:, 1:].ravel(), index[:, :-1].ravel()])
    above = np.stack([index[1:].ravel(), index[:-1].ravel()])
    pairs = np.sort(np.concatenate([beside, above], axis=1), axis=0)
    none = int(np.sum(data < 0))
    pairs = np.unique(pairs[:, (pairs[0] != pairs[1]) & (pairs[0] >= none)], axis=1) - none
    return _Residuals(residual.ravel()[first][none:], model.brightness.ravel()[first][none:], pairs)
