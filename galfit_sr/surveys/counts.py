"""How many galaxies of a survey are done, and how fast it goes."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from typing import NamedTuple

from ..terminal import format_seconds
from .outcome import DONE, FAILED, RUNNING, WAITING, Outcome
from .plan import Plan


class Counts(NamedTuple):
    """Numbers of galaxies."""

    done: int
    failed: int
    running: int
    waiting: int

    def by_status(self) -> dict[str, int]:
        """Status -> number."""
        return dict(zip((DONE, FAILED, RUNNING, WAITING), self, strict=True))

    def __str__(self) -> str:
        return ", ".join(f"{number} {status}" for status, number in self.by_status().items())


def counts(plan: Plan, outcomes: Mapping[str, Outcome], running: Collection[str]) -> Counts:
    """How many galaxies of the plan are where."""
    done = sum(outcome.done for outcome in outcomes.values())
    ended = len(outcomes)
    at_work = len(set(running) - outcomes.keys())
    return Counts(done, ended - done, at_work, len(plan.galaxies) - ended - at_work)


@dataclasses.dataclass(frozen=True)
class Pace:
    """How fast it goes.

    Attributes:
        ended: galaxies since the survey was started or resumed.
        left: that have not ended.
        seconds: that it took.
    """

    ended: int
    left: int
    seconds: float

    @property
    def share(self) -> float:
        """Of what was to do when the survey was started or resumed."""
        return self.ended / max(self.ended + self.left, 1)

    @property
    def throughput(self) -> str:
        """In words; empty before anything has ended."""
        return f"{3600 * self.ended / self.seconds:.3g} galaxies an hour" if self.ended and self.seconds > 0 else ""

    @property
    def remaining(self) -> str:
        """The time that is left, in words; empty where it cannot be told."""
        return f"about {format_seconds(self.seconds * self.left / self.ended)} left" if self.ended and self.left else ""
