"""Limits on time and calls, which the settings of all samplers have."""

from __future__ import annotations

import dataclasses
import time
from typing import Any, TypeVar

from ..numeric import check_positive

_Settings = TypeVar("_Settings")


def check_limits(settings: Any) -> None:
    """Raises InputError unless each limit on time and calls is a positive number, or None."""
    check_positive(settings, *(name for name in ("max_seconds", "max_calls") if getattr(settings, name) is not None))


def reached(settings: Any, began: float, calls: int) -> bool:
    """Whether a limit is met, so many likelihoods after the monotonic clock showed `began`."""
    if settings.max_seconds is not None and time.monotonic() - began > settings.max_seconds:
        return True
    return settings.max_calls is not None and calls > settings.max_calls


def remaining(settings: _Settings, seconds: float, calls: int = 0) -> _Settings:
    """The settings, after so many seconds and likelihoods of their limits are spent."""
    left: Any = settings
    if left.max_seconds is not None:
        left = dataclasses.replace(left, max_seconds=max(left.max_seconds - seconds, 1e-3))
    if left.max_calls is not None:
        left = dataclasses.replace(left, max_calls=max(left.max_calls - calls, 1))
    return left
