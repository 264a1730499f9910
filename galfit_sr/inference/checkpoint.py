"""What a run leaves in its folder to go on from: the states of samplers, and the first answer they started from."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from ..errors import InputError
from ..files import write_bytes
from .mixture import MOST_COMPONENTS, Mixture
from .perceptron import Perceptron
from .problem import Problem
from .ridge import Ridge, along, ridge_of
from .strata import Start, Stratum

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

    def sampler(self, number: int) -> Path:
        """The state of the sampler in one of the strata."""
        return self._named("dynesty" if number == 0 else f"{number + 1}.dynesty")

    @property
    def answer(self) -> Path:
        """The first answer: a resumed sampler must start from the same."""
        return self._named("answer.npz")

    def _named(self, what: str) -> Path:
        return self.folder / ".".join(filter(None, ("checkpoint", self.stage, what)))


def save_answer(files: Checkpoints, start: Start) -> None:
    """Writes what runs start from, atomically; states of samplers that started from elsewhere are removed first."""
    for number in range(MOST_COMPONENTS):
        files.sampler(number).unlink(missing_ok=True)
    buffer = io.BytesIO()
    arrays: dict[str, Any] = {}
    for number, (problem, mixture) in enumerate(start.strata):
        ridge = ridge_of(problem)
        own = {"weights": mixture.weights, "means": mixture.means, "covariances": mixture.covariances}
        own |= {} if mixture.couplings is None else mixture.couplings._asdict()
        own |= {} if ridge is None else dict(zip(*map(jax.tree.leaves, (_RIDGE_NAMES, ridge)), strict=True))
        arrays |= {f"{name}_{number}": array for name, array in own.items()}
    shift = np.asarray(start.strata[0].problem.arrays.shift, dtype=np.float64)
    arrays |= {"strata": len(start.strata), "shift": shift, "calls": start.calls, "uncovered": start.uncovered}
    arrays |= {"parts": list(start.seconds), "seconds": list(start.seconds.values())}
    np.savez(buffer, **arrays)
    write_bytes(files.answer, buffer.getvalue())


def load_answer(files: Checkpoints, problem: Problem) -> tuple[Problem, Start] | None:
    """The problem cut as it was, and what was saved of its strata; None if there is nothing.

    Raises:
        InputError: the file is damaged, or that of another version.
    """
    if not files.answer.exists():
        return None
    try:
        with np.load(io.BytesIO(files.answer.read_bytes())) as stored:
            cut = problem.cut_by(stored["shift"])
            strata = tuple(_stored_stratum(stored, number, cut) for number in range(int(stored["strata"])))
            seconds = dict(zip(stored["parts"].tolist(), stored["seconds"].tolist(), strict=True))
            return cut, Start(strata, int(stored["calls"]), float(stored["uncovered"]), seconds)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise InputError(unreadable_checkpoint(files.answer)) from error


def _stored_stratum(stored: Mapping[str, np.ndarray], number: int, problem: Problem) -> Stratum:
    def tree(names: Any) -> Any:
        """A tree of arrays out of one of their names, None if they were not stored."""
        leaves, structure = jax.tree.flatten(names)
        own = [f"{name}_{number}" for name in leaves]
        return jax.tree.unflatten(structure, [stored[name] for name in own]) if own[0] in stored else None

    weights, means, covariances = tree(("weights", "means", "covariances"))
    couplings = tree(Perceptron(*Perceptron._fields))
    ridge = tree(_RIDGE_NAMES)
    return Stratum(problem if ridge is None else along(problem, ridge), Mixture(weights, means, covariances, couplings))


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


def save_state(path: Path, mark: str, state: Any, rows: Any, seconds: float) -> None:
    """Writes the state of a sampler, a tree of arrays and PRNG keys, a named tuple of what it gave, and its time."""
    leaves = [jax.random.key_data(a) if _is_key(a) else a for a in jax.tree.leaves(state)]
    buffer = io.BytesIO()
    np.savez(buffer, *map(np.asarray, leaves), mark=mark, seconds=seconds, **rows._asdict())
    write_bytes(path, buffer.getvalue())


def load_state(path: Path, mark: str, like: _State, rows: type[_Rows]) -> tuple[_State, _Rows, float]:
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
            theirs, seconds = str(stored["mark"]), float(stored["seconds"])
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
    return jax.tree.unflatten(tree, placed), found, seconds


def _is_key(leaf: jax.Array | jax.ShapeDtypeStruct) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
