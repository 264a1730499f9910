"""The first answer of a run, kept beside the sampler's checkpoint: a resumed run must start from the same modes."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from ..files import write_bytes
from .maximum import Mode
from .problem import Problem

CHECKPOINT = "checkpoint.dynesty"
MODES = "checkpoint.modes.npz"


@dataclasses.dataclass(frozen=True, eq=False)
class StoredModes:
    """Modes as they were saved, and the shift of the periodic coordinates that they refer to."""

    modes: tuple[Mode, ...]
    shift: np.ndarray
    calls: int

    def applied(self, problem: Problem) -> tuple[Problem, tuple[Mode, ...], int]:
        """The problem cut as it was, the modes, and the calls that they took."""
        shift = jnp.asarray(self.shift, problem.arrays.shift.dtype)
        return dataclasses.replace(problem, arrays=problem.arrays._replace(shift=shift)), self.modes, self.calls


def save_modes(folder: Path, problem: Problem, modes: tuple[Mode, ...], calls: int) -> None:
    """Writes the modes into a run folder, atomically; a checkpoint of earlier modes is removed first."""
    (folder / CHECKPOINT).unlink(missing_ok=True)
    buffer = io.BytesIO()
    np.savez(
        buffer,
        z=np.stack([m.z for m in modes]),
        covariance=np.stack([m.covariance for m in modes]),
        log_posterior=np.array([m.log_posterior for m in modes]),
        shift=np.asarray(problem.arrays.shift, dtype=np.float64),
        calls=calls,
    )
    write_bytes(folder / MODES, buffer.getvalue())


def load_modes(folder: Path) -> StoredModes | None:
    """The modes in a run folder, None if there are none."""
    path = folder / MODES
    if not path.exists():
        return None
    with np.load(path) as stored:
        rows = zip(stored["z"], stored["covariance"], stored["log_posterior"], strict=True)
        modes = tuple(Mode(z, covariance, float(value)) for z, covariance, value in rows)
        return StoredModes(modes, stored["shift"], int(stored["calls"]))


def clear(folder: Path) -> None:
    """Removes the checkpoints of a finished run."""
    for name in (CHECKPOINT, f"{CHECKPOINT}.tmp", MODES):
        (folder / name).unlink(missing_ok=True)
