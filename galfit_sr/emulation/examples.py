"""Training examples: pairs as scale-free arrays, from a design of galaxies or from a store of pairs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from ..errors import InputError
from ..maps import Maps
from ..model.scene import Scene
from ..parameters import Parameters
from ..progress import Progress
from .pairs import BATCH, Pairs, cosmology, galaxies, make_pairs, split, training_prior
from .recipe import Recipe
from .scale_free import Amplitudes, amplitudes, context, to_scale_free
from .store import open_store, read_pairs


class Examples(NamedTuple):
    """n galaxies as a network sees them, float32.

    Attributes:
        low: (n, s, s, 4) scale-free maps at low resolution.
        high: (n, S, S, 4) scale-free maps at high resolution.
        context: (n, c) see `scale_free.context_names`.
        unit: amplitudes, (n,) each.
    """

    low: Any
    high: Any
    context: Any
    unit: Amplitudes


@dataclasses.dataclass(frozen=True, eq=False)
class Source:
    """Where examples come from.

    Attributes:
        recipe: of the pairs.
        training: epoch, counted from 0 -> indices of the galaxies to learn from.
        validation: indices of the galaxies to judge by.
        pairs: indices -> pairs.
        fresh: whether each epoch has galaxies of its own.
    """

    recipe: Recipe
    training: Callable[[int], np.ndarray]
    validation: np.ndarray
    pairs: Callable[[np.ndarray], Pairs]
    fresh: bool

    def examples(self, indices: np.ndarray, stage: str, progress: Progress) -> Examples:
        """The examples of some indices.

        Args:
            indices: (n,).
            stage: what they are for, to tell people.
            progress: called with stage, fraction done and a few words.

        Raises:
            InputError: pairs that cannot be computed or read.
        """
        parts = []
        for start in range(0, len(indices), _CHUNK):
            parts.append(as_examples(self.recipe, self.pairs(indices[start : start + _CHUNK])))
            done = min(start + _CHUNK, len(indices))
            progress(stage, done / len(indices), f"{done} of {len(indices)} galaxies")
        return jax.tree.map(lambda *arrays: np.concatenate(arrays), *parts)


_CHUNK = 2 * BATCH


def drawn(recipe: Recipe, count: int, validation: int, fresh: bool) -> Source:
    """Galaxies of a recipe, computed when they are needed.

    Args:
        recipe: how they are drawn.
        count: galaxies to learn from, per epoch.
        validation: galaxies to judge by.
        fresh: new ones every epoch.

    Raises:
        InputError: new ones every epoch of a design that has an end.
    """
    if not fresh:
        total = count + validation
        parts = split(recipe, total, validation)
        return Source(recipe, lambda epoch: parts.training, parts.validation, partial(_compute, recipe, total), False)
    if recipe.draws != "prior":
        raise InputError(f"fresh = true, and the recipe's draws are {recipe.draws!r}; draws = 'prior' is needed")
    first = np.arange(validation, validation + count)
    return Source(
        recipe, lambda epoch: first + epoch * count, np.arange(validation), partial(_compute, recipe, None), True
    )


def stored(folder: Path, count: int, validation: int, fresh: bool) -> Source:
    """Pairs of a store that `galfit-sr dataset` made; arguments as for `drawn`.

    With `fresh`, every epoch takes the next `count` pairs of the store's training part, and begins again at its end.

    Raises:
        InputError: the store cannot be used, or holds too few pairs.
    """
    store = open_store(folder)
    plan = store.manifest.plan
    parts = plan.split()
    for what, wanted, there in (("train", count, parts.training), ("validate", validation, parts.validation)):
        if wanted > len(there):
            raise InputError(f"{folder} has {len(there)} pairs to {what} with, and {wanted} are asked for")
    if store.manifest.pairs < plan.total:
        raise InputError(
            f"{folder} has {store.manifest.pairs} of its {plan.total} pairs; complete it with `galfit-sr dataset` first"
        )

    def training(epoch: int) -> np.ndarray:
        start = epoch * count if fresh else 0
        return np.take(parts.training, np.arange(start, start + count), mode="wrap")

    return Source(plan.recipe, training, parts.validation[:validation], partial(read_pairs, store), fresh)


def _compute(recipe: Recipe, total: int | None, indices: np.ndarray) -> Pairs:
    return make_pairs(recipe, *galaxies(recipe, indices, int(indices.max()) + 1 if total is None else total))


def as_examples(recipe: Recipe, pairs: Pairs) -> Examples:
    """Pairs of a recipe in scale-free units."""
    scale, density = cosmology(recipe, pairs.redshift)
    kpc = scale * recipe.low.pixel_scale
    with jax.enable_x64(False):
        scene = recipe.low_scene(recipe.redshift[0])
        columns = (pairs.theta, kpc.astype(np.float32), density.astype(np.float32), pairs.low, pairs.high)
        return jax.device_get(_scale_free(training_prior(recipe.components).parameters, scene, *columns))


@partial(jax.jit, static_argnames="parameters")
def _scale_free(
    parameters: Parameters,
    scene: Scene,
    theta: jax.Array,
    kpc: jax.Array,
    density: jax.Array,
    low: Maps,
    high: Maps,
) -> Examples:
    def one(theta: jax.Array, kpc: jax.Array, density: jax.Array, low: Maps, high: Maps) -> Examples:
        values = parameters.complete(theta)
        here = scene._replace(kpc_per_pixel=kpc, critical_density=density)
        unit = amplitudes(values, here)
        return Examples(to_scale_free(low, unit), to_scale_free(high, unit), context(values, here), unit)

    return jax.vmap(one)(theta, kpc, density, low, high)
