"""The time that a run takes, over all the sessions that it is interrupted and resumed in."""

from __future__ import annotations

import time
from collections.abc import Callable


class Stopwatch:
    """Runs from the moment it is made; pickled and unpickled, or made anew with what it showed, it goes on from there.

    What an interrupted session did after its last checkpoint is lost, and its time is not counted either.
    """

    def __init__(self, before: float = 0.0) -> None:
        """Args: seconds that were spent before."""
        self._began = time.monotonic() - before

    @property
    def seconds(self) -> float:
        """Spent so far."""
        return time.monotonic() - self._began

    def __reduce__(self) -> tuple[Callable[[float], Stopwatch], tuple[float]]:
        return Stopwatch, (self.seconds,)
