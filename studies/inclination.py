"""What does the inclination of a MaNGA galaxy come from? A tanh disc with and without the PSF, and the isophotes.

    python studies/inclination.py MAPS_FILE

Prints a table. The disc is v = v_sys + v_0 tanh(r / r_0) cos(psi), compared bin by bin; with the PSF it is smeared,
weighted with the observed light. Isophotes: axis ratio of the pixels brighter than a level, razor-thin inclination.
"""

from __future__ import annotations

import sys

import numpy as np
from scipy.ndimage import gaussian_filter, label
from scipy.optimize import least_squares

import galfit_sr as gs

_PARTS = 4


def tanh_disc(observation: gs.Observation, *, smeared: bool) -> tuple[float, float, float]:
    """Inclination, its error and the position angle (from +x to +y) [deg] of the best tanh disc."""
    n, scale = observation.size, observation.pixel_scale
    light = np.where(observation.good.brightness, 10.0 ** np.nan_to_num(observation.values.brightness), 0.0)
    labels = np.where(observation.good.velocity, observation.bins, -1).ravel()
    pixels = [np.flatnonzero(labels == b) for b in np.unique(labels[labels >= 0])]
    velocity, error = (
        np.array([m.ravel()[p[0]] for p in pixels]) for m in (observation.values.velocity, observation.errors.velocity)
    )
    weights = [light.ravel()[p] + 1e-9 for p in pixels]
    y, x = (((np.indices((n * _PARTS, n * _PARTS)) + 0.5) / _PARTS) - n / 2) * scale
    fine_light = np.kron(light, np.ones((_PARTS, _PARTS)))
    width = observation.psf_kinematics.fwhm / 2.3548 / scale * _PARTS
    smooth_light = gaussian_filter(fine_light, width)

    def residuals(p: np.ndarray) -> np.ndarray:
        x0, y0, angle, cosine, v0, r0, systemic = p
        along = (x - x0) * np.cos(angle) + (y - y0) * np.sin(angle)
        across = ((y - y0) * np.cos(angle) - (x - x0) * np.sin(angle)) / cosine
        r = np.hypot(along, across) + 1e-9
        map_ = v0 * np.tanh(r / r0) * along / r
        if smeared:
            map_ = np.where(smooth_light > 0, gaussian_filter(fine_light * map_, width), 0) / np.where(
                smooth_light > 0, smooth_light, 1
            )
        coarse = map_.reshape(n, _PARTS, n, _PARTS).mean((1, 3)).ravel() + systemic
        return (
            np.array([np.average(coarse[p], weights=w) for p, w in zip(pixels, weights, strict=True)]) - velocity
        ) / error

    starts = [[0, 0, angle, 0.6, 150, 3, 0] for angle in np.arange(4) * np.pi / 2]
    low, high = [-3, -3, -9, 0.1, 0, 0.1, -100], [3, 3, 9, 0.999, 900, 30, 100]
    steps = [1, 1, 0.1, 0.1, 50, 1, 10]
    fit = min(
        (least_squares(residuals, s, x_scale=steps, bounds=(low, high), max_nfev=60) for s in starts),
        key=lambda f: f.cost,
    )
    inclination = np.arccos(fit.x[3])
    error_cosine = np.sqrt(np.linalg.inv(fit.jac.T @ fit.jac)[3, 3])
    return (
        float(np.degrees(inclination)),
        float(np.degrees(error_cosine / np.sin(inclination))),
        float(np.degrees(fit.x[2]) % 360),
    )


def isophotes(observation: gs.Observation) -> list[tuple[float, float, float]]:
    """Level [log10 L_sun/kpc^2], semi-major axis [arcsec] and axis ratio."""
    good, brightness = observation.good.brightness, np.nan_to_num(observation.values.brightness, nan=-np.inf)
    rows = []
    for level in np.arange(np.max(brightness[good]) - 0.3, np.median(brightness[good]), -0.2):
        pieces, _ = label(good & (brightness > level))
        largest = pieces == np.argmax(np.bincount(pieces.ravel())[1:]) + 1
        if largest.sum() >= 30:
            minor, major = np.linalg.eigvalsh(np.cov(np.argwhere(largest).T))
            rows.append(
                (float(level), float(2 * np.sqrt(major) * observation.pixel_scale), float(np.sqrt(minor / major)))
            )
    return rows


def main(path: str) -> None:
    """Prints the table."""
    observation = gs.read(path)
    for smeared in (False, True):
        inclination, error, angle = tanh_disc(observation, smeared=smeared)
        print(
            f"tanh disc, {'with' if smeared else 'without'} PSF: {inclination:.1f} +- {error:.1f} deg, axis {angle:.1f}"
        )
    for level, radius, ratio in isophotes(observation):
        print(
            f"isophote {level:.1f}: {radius:.1f} arcsec, axis ratio {ratio:.2f}, {np.degrees(np.arccos(ratio)):.1f} deg"
        )


if __name__ == "__main__":
    main(sys.argv[1])
