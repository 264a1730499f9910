"""The folder `training/` beside a bundle: settings, loss curve and checkpoint, for a training to go on with."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import jax
import orbax.checkpoint as ocp

from ..errors import InputError
from ..files import write_text
from .bundle import CARD

FOLDER = "training"
_SETTINGS, _CURVE, _CHECKPOINT = "settings.json", "curve.csv", "checkpoint"
_FREE = ("epochs", "stop_after", "description")

T = TypeVar("T")


class Epoch(NamedTuple):
    """One row of the loss curve.

    Attributes:
        epoch: counted from 1.
        training: mean loss of its steps.
        validation: mean loss on the validation galaxies after it.
        rate: share of the learning rate that it was learnt with.
        seconds: from the start of the first epoch to its end, interruptions not counted.
    """

    epoch: int
    training: float
    validation: float
    rate: float
    seconds: float


@dataclasses.dataclass(frozen=True)
class TrainingFolder:
    """What a training leaves in the folder of its bundle.

    Attributes:
        folder: of the bundle.
        settings: that the training is known by.
    """

    folder: Path
    settings: Mapping[str, Any]

    def check(self, *, resume: bool, overwrite: bool) -> None:
        """Raises InputError unless the folder may be used; nothing is written.

        Args:
            resume: whether a training is to go on. Only the number of epochs may then be another one.
            overwrite: whether what is there may be given up.
        """
        folder, held = self.folder, self._path(_SETTINGS)
        if folder.exists() and not folder.is_dir():
            raise InputError(f"{folder} is a file; a folder for the network is needed")
        if overwrite:
            return
        if not held.is_file():
            if resume:
                raise InputError(f"{folder} holds no training to resume; name its folder, or leave out --resume")
            if (folder / CARD).is_file():
                raise InputError(f"{folder} holds a network already; choose another folder, or replace it: --overwrite")
            if folder.is_dir() and any(folder.iterdir()):
                raise InputError(f"{folder} holds files that are no network's; an empty or new folder is needed")
            return
        try:
            other = json.loads(held.read_text(encoding="utf-8"))
            different = [k for k in {**other, **self._known()} if other.get(k) != self._known().get(k)]
        except (OSError, ValueError, AttributeError) as error:
            raise InputError(f"{held} cannot be read ({error}); replace the training with --overwrite") from error
        if different:
            raise InputError(
                f"{folder} holds another training, with other {', '.join(different)}; choose another folder, or replace"
                " it with --overwrite"
            )
        if not resume:
            raise InputError(f"{folder} holds this very training; go on with --resume, or start over with --overwrite")

    def open(self, *, resume: bool) -> None:
        """Make the folder that of this training; unless it is resumed, what another one left is removed.

        Raises:
            InputError: it cannot be written.
        """
        if not resume:
            shutil.rmtree(self.folder / FOLDER, ignore_errors=True)
            write_text(self._path(_SETTINGS), json.dumps(self._known(), indent=1) + "\n")

    def save(self, epoch: int, run: Any) -> None:
        """Write a checkpoint, in one step, and remove the one before.

        Args:
            epoch: after which it is.
            run: arrays in any nest of tuples and dictionaries.

        Raises:
            InputError: it cannot be written.
        """
        try:
            with self._checkpoints() as manager:
                manager.save(epoch, args=ocp.args.StandardSave(run))
        except Exception as error:
            # Of whatever kind its layers raise when a disk is full.
            raise InputError(f"the checkpoint in {self.folder / FOLDER} cannot be written: {error}") from error

    def restore(self, like: T) -> tuple[T, list[Epoch]] | None:
        """What the last checkpoint holds, and the loss curve until then; None if there is none.

        Args:
            like: arrays of the same shapes in the same nest.

        Raises:
            InputError: it cannot be read.
        """
        try:
            with self._checkpoints() as manager:
                epoch = manager.latest_step()
                if epoch is None:
                    return None
                abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
                run = manager.restore(epoch, args=ocp.args.StandardRestore(abstract))
            rows = csv.DictReader(io.StringIO(self._path(_CURVE).read_text(encoding="utf-8")))
            curve = [Epoch(int(r.pop("epoch")), **{k: float(v) for k, v in r.items()}) for r in rows][:epoch]
            if len(curve) < epoch:
                raise ValueError(f"the loss curve ends at epoch {len(curve)}")
        except Exception as error:
            raise InputError(
                f"the checkpoint in {self.folder / FOLDER} cannot be read: {error}; start over with --overwrite"
            ) from error
        return run, curve

    def write_curve(self, curve: Sequence[Epoch]) -> None:
        """Write the loss curve, in one step.

        Raises:
            InputError: it cannot be written.
        """
        lines = [",".join(Epoch._fields), *(",".join(map(repr, row)) for row in curve)]
        write_text(self._path(_CURVE), "\n".join(lines) + "\n")

    def _known(self) -> dict[str, Any]:
        """As JSON gives it back."""
        return json.loads(json.dumps({k: v for k, v in self.settings.items() if k not in _FREE}))

    def _path(self, name: str) -> Path:
        return self.folder / FOLDER / name

    def _checkpoints(self) -> ocp.CheckpointManager:
        options = ocp.CheckpointManagerOptions(max_to_keep=1, enable_async_checkpointing=False)
        return ocp.CheckpointManager(self._path(_CHECKPOINT).absolute(), options=options)
