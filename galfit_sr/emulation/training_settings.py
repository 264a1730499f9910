"""How a network is trained, as its `train.toml` says."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from typing import Any, Literal, TypeVar

from ..errors import InputError
from ..numeric import check_whole, is_positive, number
from ..seeds import checked_seed
from ..toml import check_keys, convert, from_table, to_table
from .network import Network
from .recipe import Recipe, read_recipe


@dataclasses.dataclass(frozen=True)
class Training:
    """How a network is trained.

    Attributes:
        description: one sentence on the network, for its card.
        recipe: of the galaxies.
        galaxies: to learn from, in an epoch.
        validation: galaxies to judge by.
        fresh: new galaxies every epoch, which needs `draws = "prior"` in the recipe unless they come from a store.
        epochs: at most.
        batch: galaxies per step.
        loss: `l1` or `noise`, see `learning.Descent`.
        learning_rate, beta1, beta2: of Adam (Kingma & Ba 2015, arXiv:1412.6980), pure numbers.
        patience: epochs without progress after which the learning rate is multiplied by `factor`.
        factor: between 0 and 1.
        stop_after: epochs without progress after which training ends.
        seed: of the first weights and of the order of the galaxies.

    Raises:
        InputError: a value that is not allowed.
    """

    description: str = ""
    recipe: Recipe = dataclasses.field(default_factory=Recipe)
    galaxies: int = 8192
    validation: int = 4096
    fresh: bool = False
    epochs: int = 400
    batch: int = 32
    loss: Literal["l1", "noise"] = "l1"
    learning_rate: float = 0.0035
    beta1: float = 0.957
    beta2: float = 0.929
    patience: int = 10
    factor: float = 0.5
    stop_after: int = 60
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "seed", checked_seed(self.seed))
        check_whole(self, galaxies=1, validation=1, epochs=1, batch=1, patience=1, stop_after=1)
        if self.batch > self.galaxies:
            raise InputError(f"batch = {self.batch} is more than galaxies = {self.galaxies}; choose it smaller")
        if not is_positive(self.learning_rate):
            raise InputError(f"learning_rate = {self.learning_rate!r}; a positive number is needed")
        for name, least in (("beta1", 0.0), ("beta2", 0.0), ("factor", math.ulp(0))):
            if not least <= number(getattr(self, name)) < 1:
                raise InputError(f"{name} = {getattr(self, name)!r}; a number between 0 and 1 is needed")

    def table(self) -> dict[str, Any]:
        """As TOML and JSON hold it."""
        return {**to_table(self), "recipe": self.recipe.table()}


N = TypeVar("N", bound=Network)


def read_training(table: Mapping[str, Any], network: N) -> tuple[Training, N]:
    """Settings, and the network with the hyperparameters of the section [network], from a `train.toml`.

    Args:
        table: what `tomllib` made of it.
        network: whose hyperparameters hold where the section has none.

    Raises:
        InputError: an unknown key, or a value that is not allowed.
    """
    rest = {key: value for key, value in table.items() if key not in ("recipe", "network")}
    check_keys(rest, [f.name for f in dataclasses.fields(Training)], "")
    sections = {k: convert(table.get(k, {}), Mapping[str, Any], "", k) for k in ("recipe", "network")}
    training = from_table(Training, rest, "train")
    # Tuples as TOML has them.
    held = json.loads(json.dumps(to_table(network)))
    built = from_table(type(network), {**held, **sections["network"]}, "network")
    return dataclasses.replace(training, recipe=read_recipe(sections["recipe"])), built
