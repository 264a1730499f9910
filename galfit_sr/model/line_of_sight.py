"""Lines of sight through a thick disc, density exp(-R/R_d) sech^2(z/h), at any inclination, by quadrature in float64.

With x along the major axis, y across it on the sky and p the third coordinate, in the disc's plane, a line of sight
runs along p at the height z = (y - p cos i)/sin i; lengths are in R_d. Apart from a factor of the density, what it sees
depends on one number beside the position: the steepness b = 2 cos i/(q sin i) with q = h/R_d, at which ln sech^2 falls
along p far from the plane, provided that y is measured in elliptic coordinates, y = a sqrt(cos^2 i + q^2 sin^2 i). The
plane is then crossed at p = a sqrt(1 + 4/b^2).

The integrand has two factors. One is exp(-sqrt(x^2+p^2)), with its peak at p = 0. The other, sech^2, has it at the
crossing. Face-on the second is the narrow one, edge-on the first. Both are log-concave, hence the product has one peak:
up to the crossing it is about exp(b p - sqrt(x^2+p^2)), highest at p = x b/sqrt(1-b^2), and for b >= 1 at the crossing
itself. The half-line p > 0 (the other half looks alike but for the height) is divided at this peak and at the crossing,
and on each of the three pieces an exponential of the right rate makes the new variable.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

NODES = (40, 40, 40)
"""Below the peak, between peak and crossing, beyond the crossing: 2e-5 of the density."""
_EDGE_ON = 2e-5
"""Smallest steepness; less makes no difference."""
_TINY = 1e-9


class Lines(NamedTuple):
    """What lines of sight meet.

    Attributes:
        density: projected, times R_d^2/M and times sqrt(cos^2 i + q^2 sin^2 i); the positions' shape.
        radius: of the nodes in the disc's plane [R_d], with one axis more.
        share: of the density that belongs to each node.
    """

    density: np.ndarray
    radius: np.ndarray
    share: np.ndarray


def lines_of_sight(x: np.ndarray, a: np.ndarray, steepness: float, nodes: tuple[int, int, int] = NODES) -> Lines:
    """The lines of sight at some positions.

    Args:
        x, a: positions on the sky along the major axis and, in elliptic coordinates, across it, positive, arrays of one
            shape [R_d].
        steepness: 2 cos i/(q sin i), from 0.
        nodes: of the three pieces.
    """
    rate = max(steepness, _EDGE_ON)
    crossing = a * np.sqrt(1 + 4 / rate**2)
    offset, weight = _nodes(x, crossing, rate, nodes)
    x, crossing = x[..., None], crossing[..., None]
    radius = np.sqrt(x**2 + (crossing - offset) ** 2)
    # From the offset, which has all its digits where the line crosses the plane steeply.
    heights = (offset * rate / 2, (2 * crossing - offset) * rate / 2)
    column = weight * np.exp(-radius) * (_sech_squared(heights[0]) + _sech_squared(heights[1]))
    total = column.sum(-1)
    return Lines(total * np.sqrt(1 + rate**2 / 4) / (4 * np.pi), radius, column / total[..., None])


def _sech_squared(u: np.ndarray) -> np.ndarray:
    e = np.exp(-2 * np.abs(u))
    return 4 * e / (1 + e) ** 2


def _nodes(
    x: np.ndarray, crossing: np.ndarray, rate: float, counts: tuple[int, int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Nodes as crossing - p, and weights, of the half-line p > 0, along a new last axis."""
    # Of exp(b p - sqrt(x^2+p^2)): its peak, and the inverse of the curvature there.
    room = max(1 - rate**2, 1e-6)
    peak = np.minimum(crossing, x * rate / np.sqrt(room)) if rate < 1 else crossing
    breadth = x / room**1.5
    slope, last_slope = (p / np.sqrt(x**2 + p**2) for p in (peak, crossing))
    below = np.sqrt((rate - slope) ** 2 + 1 / (1 / rate**2 + breadth))
    above = 1 / np.sqrt(1 / max(1 - rate, 1e-3) ** 2 + breadth)
    beyond = rate + np.sqrt(last_slope**2 + 1 / (1 + x))
    behind = crossing - peak
    steps = [
        _exponential(counts[0], below, peak),
        _exponential(counts[1], above, behind),
        _exponential(counts[2], beyond, None),
    ]
    offsets = (behind[..., None] + steps[0][0], behind[..., None] - steps[1][0], -steps[2][0])
    return np.concatenate(offsets, -1), np.concatenate([weight for _, weight in steps], -1)


def _exponential(count: int, rate: np.ndarray, length: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Nodes in [0, length], or to infinity, for integrands that fall about as exp(-rate d), with their weights.

    The new variable is the distribution function of that exponential, itself a cubic of the Gauss-Legendre variable
    that is flat at both ends: it gathers the nodes there and removes what singularities the ends have.
    """
    u, gauss = np.polynomial.legendre.leggauss(count)
    u, gauss = (u + 1) / 2, gauss / 2
    done, left, weight = u**2 * (3 - 2 * u), (1 - u) ** 2 * (1 + 2 * u), 6 * u * (1 - u) * gauss
    if length is None:
        return -np.log(left) / rate[..., None], weight / left / rate[..., None]
    rate = np.maximum(rate, _TINY / np.maximum(length, _TINY))[..., None]
    missing = np.exp(-rate * length[..., None])
    share = left + done * missing
    return -np.log(share) / rate, weight * (1 - missing) / share / rate
