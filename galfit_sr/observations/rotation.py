"""A quick look at a velocity map: which way does it rotate?"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from scipy.optimize import least_squares

MEANINGFUL_ELLIPTICITY = 0.1
"""Below it, a photometric position angle says nothing."""


def kinematic_position_angle(
    east: np.ndarray, north: np.ndarray, velocity: np.ndarray, error: np.ndarray
) -> float | None:
    """Position angle of the receding side, from a fit of a rotating disc, v = v_sys + v_0 tanh(r / r_0) cos(psi).

    Robust (soft L1 loss), and good to a few degrees: meant for comparison with the photometry, not as a measurement.

    Args:
        east, north: (n,) offsets from the galaxy's centre [arcsec].
        velocity, error: (n,) line-of-sight velocities [km/s].

    Returns:
        Degrees from north through east in [0, 360), or None where there is no rotation to speak of: fewer than 20
        points, or an amplitude below three times its error or below the typical error of a point.
    """
    if velocity.size < 20:
        return None
    weight = 1 / np.hypot(error, 5.0)  # 5 km/s of real structure that a tanh disc does not have
    plane = np.stack([np.ones_like(east), east, north], axis=1) * weight[:, None]
    mean, slope_east, slope_north = np.linalg.lstsq(plane, velocity * weight, rcond=None)[0]
    scale = max(float(np.median(np.hypot(east, north))), 0.5)
    amplitude = max(math.hypot(slope_east, slope_north) * scale, 1.0)

    def residuals(p: np.ndarray) -> np.ndarray:
        along = east * np.sin(p[2]) + north * np.cos(p[2])
        across = (east * np.cos(p[2]) - north * np.sin(p[2])) / p[3]
        r = np.hypot(np.hypot(along, across), 1e-6)
        return (p[0] + p[1] * np.tanh(r / p[4]) * along / r - velocity) * weight

    start = [float(mean), amplitude, math.atan2(slope_east, slope_north), 0.7, scale / 2]
    low = [-np.inf, 0.0, -np.inf, 0.2, 0.1]
    high = [np.inf, np.inf, np.inf, 1.0, 50.0]
    start[4] = min(max(start[4], 0.2), 40.0)
    fit = least_squares(residuals, start, bounds=(low, high), loss="soft_l1", max_nfev=200)
    curvature = fit.jac[:, 1] @ fit.jac[:, 1]
    amplitude_error = 1 / math.sqrt(curvature) if curvature > 0 else math.inf
    if fit.x[1] < max(3 * amplitude_error, float(np.median(error))):
        return None
    return math.degrees(fit.x[2]) % 360


def axis_difference(first: float, second: float) -> float:
    """Angle between two axes given by position angles in degrees, from 0 to 90."""
    difference = (first - second) % 180
    return min(difference, 180 - difference)


def rotation_notes(
    east: np.ndarray,
    north: np.ndarray,
    velocity: np.ndarray,
    error: np.ndarray,
    good: np.ndarray,
    bins: np.ndarray,
    photometry: Mapping[str, float],
) -> tuple[str, ...]:
    """A sentence where a map has no clear rotation, or rotates about another axis than the light suggests.

    Args:
        east, north: (ny, nx) offsets from the galaxy's centre [arcsec].
        velocity, error: (ny, nx) [km/s].
        good: (ny, nx) bool.
        bins: (ny, nx) int; every bin counts once, at its middle.
        photometry: "pa_deg" and "ellipticity" of the light; without them, or where it is round, nothing is compared.
    """
    _, first, inverse, count = np.unique(bins[good], return_index=True, return_inverse=True, return_counts=True)
    middle = [np.bincount(inverse, axis[good]) / count for axis in (east, north)]
    angle = kinematic_position_angle(middle[0], middle[1], velocity[good][first], error[good][first])
    if angle is None:
        return ("The velocity map shows no clear rotation; position angle and inclination will be hardly constrained.",)
    if "pa_deg" not in photometry or photometry.get("ellipticity", 0.0) < MEANINGFUL_ELLIPTICITY:
        return ()
    difference = axis_difference(angle, photometry["pa_deg"])
    if difference <= 30:
        return ()
    return (
        f"The kinematic position angle ({angle:.0f} deg) and the photometric one ({photometry['pa_deg']:.0f} deg)"
        f" are {difference:.0f} deg apart modulo 180: this is not one regular disc, or the photometry is wrong.",
    )
