"""Numbers as users give them: a text or None in the place of one is refused where a number out of range is."""

from __future__ import annotations

import math
from numbers import Integral
from typing import Any


def number(value: Any) -> float:
    """`value` as a float, NaN where it is none: whatever it is compared with, the answer is no."""
    if isinstance(value, str | bytes | bool):  # Python would make numbers of some of them
        return math.nan
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


def is_positive(value: Any) -> bool:
    """Whether `value` is a finite number above 0."""
    return 0 < number(value) < math.inf


def is_whole(value: Any, least: int) -> bool:
    """Whether `value` is a whole number, Python's or NumPy's, of at least so much."""
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= least
