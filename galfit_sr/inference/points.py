"""The points of a nested run, those that have died first."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .sampled import shell_log_weights


class Points(NamedTuple):
    """Points of a nested run, in order of L pi/q.

    Attributes:
        v: (n, ndim + 2) as dynesty holds them, see `Engine`.
        value: (n,) log of L pi/q, offset included.
        log_volume: (n,) expected log of the volume of q above each.
        born: (n,) row after whose death each became alive, -1 for the first ones.
    """

    v: np.ndarray
    value: np.ndarray
    log_volume: np.ndarray
    born: np.ndarray

    def first(self, count: int) -> Points:
        """Those that die first."""
        return Points(*(array[:count] for array in self))

    def left(self) -> float:
        """Log of the volume above all of them."""
        return float(self.log_volume[-1]) if self.value.size else 0.0

    def log_weights(self) -> np.ndarray:
        """(n,) log of what each adds to the evidence."""
        return shell_log_weights(self.value, self.log_volume)

    def log_evidence(self) -> float:
        """What all of them add up to."""
        return float(np.logaddexp.reduce(self.log_weights(), initial=-np.inf))


def plain(v: np.ndarray, value: np.ndarray) -> Points:
    """Draws from q (n, ndim + 2), and log of L pi/q there (n,): points of a run that replaces none of them."""
    order, count = np.argsort(value, kind="stable"), value.size
    log_volume = -np.cumsum(np.log1p(1 / np.arange(count, 0, -1)))
    return Points(v[order], value[order], log_volume, np.full(count, -1))


def nobody(dimensions: int) -> Points:
    """No points, as dynesty holds them."""
    return plain(np.empty((0, dimensions)), np.empty(0))


def remaining(log_evidence: float, highest: float, log_volume: float) -> float:
    """What live points can add to the log evidence, in the volume that is left to them.

    Args:
        log_evidence: of what lies below.
        highest: log of L pi/q of the best of them.
        log_volume: that is left.
    """
    return float(np.logaddexp(log_evidence, highest + log_volume) - log_evidence) if log_evidence > -np.inf else np.inf
