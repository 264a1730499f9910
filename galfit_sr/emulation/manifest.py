"""What a store of training pairs holds, as its manifest says: the plan, and the finished shards with checksums."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..errors import InputError
from ..files import write_text
from ..maps import MAP_NAMES, MAP_UNITS
from .pairs import Split, split, training_prior
from .recipe import Recipe, read_recipe

MANIFEST = "manifest.json"
SHARD_SIZE = 512
_FORMAT = "galfit_sr training pairs 1"


@dataclasses.dataclass(frozen=True)
class Plan:
    """Which pairs a store is to hold.

    Attributes:
        recipe: how they are drawn and computed.
        total: pairs, at least 2.
        validation: how many of them are for validation; at least one, and at least one is left for training.
        shard_size: pairs that are computed and written at a time; the last shard may hold fewer.

    Raises:
        InputError: a number that is not allowed.
    """

    recipe: Recipe
    total: int
    validation: int
    shard_size: int = SHARD_SIZE

    def __post_init__(self) -> None:
        if self.total < 2:
            raise InputError(f"the number of pairs is {self.total}; at least 2 are needed, to train and to validate")
        if not 1 <= self.validation < self.total:
            raise InputError(
                f"{self.validation} of {self.total} pairs are for validation; 1 to {self.total - 1} are allowed"
            )
        if self.shard_size < 1:
            raise InputError(f"the shard size is {self.shard_size}; at least 1 pair is needed")

    @property
    def shards(self) -> int:
        """Number of shards."""
        return -(-self.total // self.shard_size)

    def indices(self, shard: int) -> np.ndarray:
        """Indices of the pairs in a shard, (m,) ascending."""
        return np.arange(shard * self.shard_size, min((shard + 1) * self.shard_size, self.total))

    def split(self) -> Split:
        """Which pairs are for training and which for validation."""
        return split(self.recipe, self.total, self.validation)

    def differences(self, other: Plan) -> list[str]:
        """Names of the settings, those of the recipe among them, that differ."""
        mine, theirs = ({**plan.recipe.table(), **dataclasses.asdict(plan)} for plan in (self, other))
        return [name for name in mine if name != "recipe" and mine[name] != theirs[name]]


class Manifest(NamedTuple):
    """What a store is to hold, and what it holds.

    Attributes:
        plan: all its pairs.
        version: of the package that computes them.
        shards: finished ones, number -> {file, relative to the store: its SHA-256}.
    """

    plan: Plan
    version: str
    shards: Mapping[int, Mapping[str, str]]

    @property
    def pairs(self) -> int:
        """How many pairs the finished shards hold."""
        return sum(len(self.plan.indices(shard)) for shard in self.shards)


def package_version() -> str:
    """Of galfit_sr, as installed."""
    return version("galfit-sr")


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest of the store in `folder`, in one step.

    Raises:
        InputError: it cannot be written.
    """
    plan = manifest.plan
    free = training_prior(plan.recipe.components).parameters.free
    table = {
        "format": _FORMAT,
        "version": manifest.version,
        "total": plan.total,
        "validation": plan.validation,
        "shard_size": plan.shard_size,
        "recipe": plan.recipe.table(),
        "parameters": [{"name": p.name, "unit": p.unit} for p in free],
        "maps": [{"name": name, "unit": MAP_UNITS[name]} for name in MAP_NAMES],
        "shards": {str(shard): dict(files) for shard, files in sorted(manifest.shards.items())},
    }
    write_text(folder / MANIFEST, json.dumps(table, indent=1) + "\n")


def read_manifest(folder: Path) -> Manifest:
    """The manifest of the store in `folder`.

    Raises:
        InputError: there is none, or it is none of this version's stores.
    """
    path = folder / MANIFEST
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{folder} is not a store of training pairs: it has no {MANIFEST}") from error
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path} cannot be read ({error}); the manifest of a store of training pairs is needed"
        ) from error
    if not isinstance(table, dict) or table.get("format") != _FORMAT:
        raise InputError(f"{path} is not the manifest of a store of training pairs; its format must be {_FORMAT!r}")
    recipe = read_recipe(table["recipe"])
    names = tuple(parameter["name"] for parameter in table["parameters"])
    needed = training_prior(recipe.components).names
    if names != needed:
        raise InputError(
            f"the pairs in {folder} have the parameters {', '.join(names)}; {', '.join(needed)} are needed"
        )
    numbers = {name: table[name] for name in ("total", "validation", "shard_size")}
    plan = Plan(recipe, **numbers)
    return Manifest(plan, table["version"], {int(shard): files for shard, files in table["shards"].items()})
