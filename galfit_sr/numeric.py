"""Numbers as users give them: a text or None in the place of one is refused where a number out of range is."""

from __future__ import annotations

import math
from numbers import Integral
from typing import Any

from .errors import InputError


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


def whole(name: str, value: Any, least: int, most: int | None = None) -> int:
    """`value` as a whole number of Python's, the only ones that JSON and TOML know; NumPy's are taken as well.

    Raises:
        InputError: `value`, called `name`, is another kind of thing, or not from `least` to `most`.
    """
    if isinstance(value, Integral) and not isinstance(value, bool):
        found = int(value)
        if least <= found and (most is None or found <= most):
            return found
    allowed = f"of at least {least}" if most is None else f"from {least} to {most}"
    raise InputError(f"{name} is {value!r}; a whole number {allowed} is needed")


def check_whole(settings: Any, **least: int) -> None:
    """Makes the named settings whole numbers of Python's; raises InputError unless they are at least so much."""
    for name, bound in least.items():
        object.__setattr__(settings, name, whole(name, getattr(settings, name), bound))


def check_positive(settings: Any, *names: str) -> None:
    """Raises InputError unless the named settings are positive numbers; infinity is one."""
    for name in names:
        value = getattr(settings, name)
        if not number(value) > 0:
            raise InputError(f"{name} is {value!r}; a positive number is needed")
