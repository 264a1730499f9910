"""What a run leaves in its folder to go on from: the sampler's state, and the first answer that it started from."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from ..files import write_bytes
from .mixture import Mixture
from .problem import Problem


@dataclasses.dataclass(frozen=True)
class Checkpoints:
    """The files of one stage of a run.

    Attributes:
        folder: of the run.
        stage: `exact` for what goes on from a run with an emulator, otherwise empty.
    """

    folder: Path
    stage: str = ""

    @property
    def sampler(self) -> Path:
        """The state of the sampler."""
        return self._named("dynesty")

    @property
    def answer(self) -> Path:
        """The first answer: a resumed sampler must start from the same."""
        return self._named("answer.npz")

    def _named(self, what: str) -> Path:
        return self.folder / ".".join(filter(None, ("checkpoint", self.stage, what)))


@dataclasses.dataclass(frozen=True, eq=False)
class StoredAnswer:
    """A mixture as it was saved, and the shift of the periodic coordinates that it refers to."""

    mixture: Mixture
    shift: np.ndarray
    calls: int

    def applied(self, problem: Problem) -> tuple[Problem, Mixture, int]:
        """The problem cut as it was, the mixture, and the calls that it took."""
        shift = jnp.asarray(self.shift, problem.arrays.shift.dtype)
        return dataclasses.replace(problem, arrays=problem.arrays._replace(shift=shift)), self.mixture, self.calls


def save_answer(files: Checkpoints, problem: Problem, mixture: Mixture, calls: int) -> None:
    """Writes the mixture, atomically; the state of a sampler that started from an earlier one is removed first."""
    files.sampler.unlink(missing_ok=True)
    buffer = io.BytesIO()
    np.savez(
        buffer,
        weights=mixture.weights,
        means=mixture.means,
        covariances=mixture.covariances,
        shift=np.asarray(problem.arrays.shift, dtype=np.float64),
        calls=calls,
    )
    write_bytes(files.answer, buffer.getvalue())


def load_answer(files: Checkpoints) -> StoredAnswer | None:
    """The mixture that was saved, None if there is none."""
    if not files.answer.exists():
        return None
    with np.load(files.answer) as stored:
        mixture = Mixture(stored["weights"], stored["means"], stored["covariances"])
        return StoredAnswer(mixture, stored["shift"], int(stored["calls"]))


def begun(folder: Path) -> bool:
    """Whether a folder holds checkpoints."""
    return any(folder.glob("checkpoint.*"))


def clear(folder: Path) -> None:
    """Removes the checkpoints of a finished run."""
    for path in folder.glob("checkpoint.*"):
        path.unlink()
