"""What became of a galaxy, as it is kept."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..analysis.kept_folder import read_json
from ..analysis.rendering import json_text
from ..errors import InputError
from ..files import write_text
from .variants import Preference, preferred

DONE, FAILED, RUNNING, WAITING = "done", "failed", "running", "waiting"


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of a galaxy that is no longer waited for.

    Attributes:
        name: of the galaxy.
        status: `DONE` or `FAILED`.
        reason: one sentence on a failure.
        models: variant ("" if there are none) -> what is kept of its fit, see `worker.record`.
        sky: right ascension and declination in degree, None if unknown.
        worker: what the fit took: `seconds`, `compiled` (programs), `memory` [MiB] of the process afterwards.
    """

    name: str
    status: str
    reason: str = ""
    models: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
    sky: tuple[float, float] | None = None
    worker: Mapping[str, float] = dataclasses.field(default_factory=dict)

    @property
    def done(self) -> bool:
        """Whether the galaxy is fitted."""
        return self.status == DONE

    @property
    def preference(self) -> Preference | None:
        """Which of the models the evidence prefers."""
        return preferred({v: (r["log_evidence"], r["log_evidence_error"]) for v, r in self.models.items()})

    @property
    def chosen(self) -> tuple[str, Mapping[str, Any]] | None:
        """The variant that stands for the galaxy, the preferred one, and its record; None without any."""
        if not self.models:
            return None
        preference = self.preference
        variant = next(iter(self.models)) if preference is None else preference.variant
        return variant, self.models[variant]


def failure(name: str, reason: str, **more: Any) -> Outcome:
    """That of a galaxy that failed; the reason becomes one line."""
    return Outcome(name, FAILED, " ".join(reason.split()), **more)


def write_outcome(file: Path, outcome: Outcome) -> None:
    """Writes an outcome, whole or not at all."""
    write_text(file, json_text(dataclasses.asdict(outcome)))


def read_outcome(file: Path) -> Outcome | None:
    """The outcome in a file, None if there is no file.

    Raises:
        InputError: it holds something else.
    """
    if not file.is_file():
        return None
    held = read_json(file)
    try:
        sky = held.pop("sky")
        return Outcome(**held, sky=None if sky is None else tuple(sky))
    except (KeyError, TypeError) as error:
        raise InputError(f"{file} is not the outcome of a fit ({error}); remove it to fit the galaxy") from error
