"""What a run leaves in its folder to go on from: the sampler's state, and the first answer that it started from."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import zipfile
from pathlib import Path
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from ..errors import InputError
from ..files import write_bytes
from .mixture import Mixture
from .perceptron import Perceptron
from .problem import Problem
from .ridge import Ridge, along, ridge_of

_RIDGE_NAMES = Ridge("centre", "sharp", "along", Perceptron(*(f"ridge_{name}" for name in Perceptron._fields)))
"""Of its arrays in a file."""


@dataclasses.dataclass(frozen=True)
class Checkpoints:
    """The files of one stage of a run.

    Attributes:
        folder: of the run.
        stage: what tells it from the others: `exact` for what goes on from a run with an emulator, empty otherwise.
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
    """A mixture as it was saved, the shift of the periodic coordinates and the ridge that it refers to."""

    mixture: Mixture
    shift: np.ndarray
    ridge: Ridge | None
    calls: int

    def applied(self, problem: Problem) -> tuple[Problem, Problem, Mixture, int]:
        """The problem cut as it was, the same straightened as it was, the mixture, and the calls that it took."""
        cut = problem.cut_by(self.shift)
        return cut, cut if self.ridge is None else along(cut, self.ridge), self.mixture, self.calls


def save_answer(files: Checkpoints, problem: Problem, mixture: Mixture, calls: int) -> None:
    """Writes the mixture, atomically; the state of a sampler that started from an earlier one is removed first."""
    files.sampler.unlink(missing_ok=True)
    buffer = io.BytesIO()
    ridge = ridge_of(problem)
    np.savez(
        buffer,
        weights=mixture.weights,
        means=mixture.means,
        covariances=mixture.covariances,
        **({} if mixture.couplings is None else mixture.couplings._asdict()),
        **({} if ridge is None else dict(zip(*map(jax.tree.leaves, (_RIDGE_NAMES, ridge)), strict=True))),
        shift=np.asarray(problem.arrays.shift, dtype=np.float64),
        calls=calls,
    )
    write_bytes(files.answer, buffer.getvalue())


def load_answer(files: Checkpoints) -> StoredAnswer | None:
    """The mixture that was saved, None if there is none."""
    if not files.answer.exists():
        return None
    with np.load(files.answer) as stored:
        bent = Perceptron._fields[0] in stored
        couplings = Perceptron(*(stored[name] for name in Perceptron._fields)) if bent else None
        mixture = Mixture(stored["weights"], stored["means"], stored["covariances"], couplings)
        names, structure = jax.tree.flatten(_RIDGE_NAMES)
        ridge = jax.tree.unflatten(structure, [jnp.asarray(stored[n]) for n in names]) if names[0] in stored else None
        return StoredAnswer(mixture, stored["shift"], ridge, int(stored["calls"]))


def begun(folder: Path) -> bool:
    """Whether a folder holds checkpoints."""
    return any(folder.glob("checkpoint.*"))


def clear(folder: Path) -> None:
    """Removes the checkpoints of a finished run."""
    for path in folder.glob("checkpoint.*"):
        path.unlink()


def mark_of(identity: str, *arrays: Any) -> str:
    """A digest that two runs share if they are the same: of settings in words, and of trees of arrays."""
    digest = hashlib.sha256(identity.encode())
    for leaf in jax.tree.leaves(arrays):
        digest.update(np.ascontiguousarray(leaf).tobytes())
    return digest.hexdigest()


def foreign_checkpoint(path: Path) -> str:
    """The sentence for a checkpoint that another run wrote."""
    return f"{path} is the checkpoint of another run, with other data, settings or seed; resume it with its own"


def unreadable_checkpoint(path: Path) -> str:
    """The sentence for a file that is no checkpoint."""
    return f"{path} cannot be read as a checkpoint of this version; start over without it"


_State = TypeVar("_State")
_Rows = TypeVar("_Rows", bound=tuple)


def save_state(path: Path, mark: str, state: Any, rows: Any) -> None:
    """Writes the state of a sampler, a tree of arrays and PRNG keys, and a named tuple of what it gave so far."""
    leaves = [jax.random.key_data(a) if _is_key(a) else a for a in jax.tree.leaves(state)]
    buffer = io.BytesIO()
    np.savez(buffer, *map(np.asarray, leaves), mark=mark, **rows._asdict())
    write_bytes(path, buffer.getvalue())


def load_state(path: Path, mark: str, like: _State, rows: type[_Rows]) -> tuple[_State, _Rows]:
    """What `save_state` wrote.

    Args:
        path: of the file.
        mark: of the run that goes on.
        like: a state of the same make-up, on the devices that it belongs to, or the shapes of one.
        rows: type of the named tuple.

    Raises:
        InputError: the file is damaged, or that of another run.
    """
    leaves, tree = jax.tree.flatten(like)
    try:
        with np.load(io.BytesIO(path.read_bytes())) as stored:
            theirs = str(stored["mark"])
            arrays = [stored[f"arr_{i}"] for i in range(len(leaves))]
            found = rows(*(stored[name] for name in rows._fields))  # type: ignore[attr-defined]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise InputError(unreadable_checkpoint(path)) from error
    if theirs != mark:
        raise InputError(foreign_checkpoint(path))
    restored = [
        jax.random.wrap_key_data(jnp.asarray(a)) if _is_key(leaf) else jnp.asarray(a, leaf.dtype)
        for a, leaf in zip(arrays, leaves, strict=True)
    ]
    placed = [jax.device_put(a, leaf.sharding) for a, leaf in zip(restored, leaves, strict=True)]
    return jax.tree.unflatten(tree, placed), found


def _is_key(leaf: jax.Array | jax.ShapeDtypeStruct) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
