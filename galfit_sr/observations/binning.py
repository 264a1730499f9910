"""Voronoi bins for mocks: pixels that share one spectrum."""

from __future__ import annotations

import numpy as np

from ..maps import Maps


def voronoi_bins(signal_to_noise: np.ndarray, good: np.ndarray, target: float) -> np.ndarray:
    """Compact bins with a signal-to-noise ratio of about `target`.

    A short form of Cappellari & Copin (2003, MNRAS 342, 345): bins accrete the nearest free pixel, brightest first,
    until they reach the target; those that end below 80 % of it are given up, and all pixels then belong to the
    nearest bin that is left. Noise is taken as independent, so ratios add in quadrature.

    Args:
        signal_to_noise: (n, n) per pixel, positive.
        good: (n, n) bool, pixels to bin.
        target: ratio of a bin; pixels that have it by themselves are bins of one.

    Returns:
        (n, n) int, labels from 0, -1 where not good. All pixels are in one bin if they do not reach the target.
    """
    position = np.argwhere(good).astype(float)
    power = signal_to_noise[good] ** 2
    free = np.ones(power.size, dtype=bool)
    centres = []
    while np.any(free):
        seed = int(np.argmax(np.where(free, power, -1.0)))
        centre, total = position[seed], power[seed]
        weighted = power[seed] * position[seed]
        free[seed] = False
        while total < target**2 and np.any(free):
            distance = np.where(free, np.sum((position - centre) ** 2, axis=1), np.inf)
            nearest = int(np.argmin(distance))
            # A pixel far away would make a bin of two pieces.
            if distance[nearest] > 4 * max(1.0, target**2 / power[nearest] / np.pi):
                break
            free[nearest] = False
            total += power[nearest]
            weighted = weighted + power[nearest] * position[nearest]
            centre = weighted / total
        if total >= (0.8 * target) ** 2:
            centres.append(centre)
    if not centres:
        centres.append(position.mean(axis=0))
    distance = np.sum((position[:, None, :] - np.array(centres)[None, :, :]) ** 2, axis=2)
    # Bins that no pixel is nearest to leave gaps in the numbers.
    labels = np.unique(np.argmin(distance, axis=1), return_inverse=True)[1]
    bins = np.full(good.shape, -1, dtype=np.int64)
    bins[good] = labels
    return bins


def average_in_bins(maps: Maps, bins: np.ndarray) -> Maps:
    """Maps whose velocity and dispersion are what a spectrum of each bin's light would give.

    Velocity is the light-weighted mean, dispersion the root of the light-weighted second central moment, so that the
    spread of velocities within a bin adds to it. Pixels without a bin are unchanged.

    Args:
        maps: (n, n) each.
        bins: (n, n) int, labels from 0 without gaps, -1 for none.
    """
    inside = bins >= 0
    labels = bins[inside]
    light = 10.0 ** (maps.brightness[inside] - np.max(maps.brightness[inside]))
    total = np.bincount(labels, light)
    velocity, dispersion = maps.velocity.copy(), maps.dispersion.copy()
    first = np.bincount(labels, light * velocity[inside]) / total
    second = np.bincount(labels, light * (velocity[inside] ** 2 + dispersion[inside] ** 2)) / total
    velocity[inside] = first[labels]
    dispersion[inside] = np.sqrt(np.maximum(second - first**2, 0.0))[labels]
    return maps._replace(velocity=velocity, dispersion=dispersion)
