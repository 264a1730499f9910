"""The card of an emulator: what it was made for, from what, and how good it is."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from ..maps import MAP_NAMES, Observation
from ..psf import GaussianPSF
from ..shown import Shown
from ..toml import check_keys, from_table, to_table
from .recipe import Recipe, read_recipe

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PSF_TOLERANCE = 0.01
"""Relative difference of a Gaussian PSF's FWHM that is let pass; the centre's brightness then changes by 0.005 dex."""


@dataclasses.dataclass(frozen=True)
class Card(Shown):
    """What a reader, and the code, must know of an emulator before using it.

    Attributes:
        name: by which it is chosen.
        description: one sentence.
        recipe: canvases, point spread functions and redshifts that it was made for, and how its pairs were made.
        maps: the maps that it gives, in order.
        network: name of the network and its hyperparameters; empty for a function of another kind.
        weights: how many numbers it learnt.
        fwhm: `photometry` and `kinematics` -> least and greatest FWHM [arcsec] of the Gaussian point spread functions
            that it serves, where that is not the recipe's alone.
        ranges: scale-free quantity (see `scale_free.context_names`) -> least and greatest value in training; empty for
            an emulator that learnt nothing. All of them are pure numbers.
        training: how it was trained: epochs, galaxies, seconds, device, seed.
        held_out: its errors on galaxies that it had not seen (see `measures`).
        known_failures: sentences.
        sha256: of the weights' file, filled in when a bundle is saved.
    """

    name: str
    description: str
    recipe: Recipe = dataclasses.field(default_factory=Recipe)
    maps: tuple[str, ...] = MAP_NAMES
    network: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    weights: int = 0
    fwhm: Mapping[str, tuple[float, float]] = dataclasses.field(default_factory=dict)
    ranges: Mapping[str, tuple[float, float]] = dataclasses.field(default_factory=dict)
    training: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    held_out: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    known_failures: tuple[str, ...] = ()
    sha256: str | None = None

    def __post_init__(self) -> None:
        if self.maps != MAP_NAMES:
            raise InputError(
                f"emulator {self.name} gives the maps {', '.join(self.maps)}; {', '.join(MAP_NAMES)} are needed, in"
                " this order"
            )

    def check(self, observation: Observation) -> None:
        """Whether the emulator is for these data.

        Args:
            observation: the data.

        Raises:
            InputError: it was made for other pixels or point spread functions.
        """
        canvas = self.recipe.high
        for what, own, given in (
            ("pixels along a side", canvas.size, observation.size),
            ("arcsec per pixel", canvas.pixel_scale, observation.pixel_scale),
        ):
            if not math.isclose(own, given, rel_tol=1e-6):
                raise InputError(f"emulator {self.name} gives maps of {own} {what}; {observation.name} has {given}")
        for kind in ("photometry", "kinematics"):
            own, given = getattr(self.recipe, f"psf_{kind}"), getattr(observation, f"psf_{kind}")
            low, high = self.fwhm.get(kind, (own.fwhm, own.fwhm) if isinstance(own, GaussianPSF) else (0.0, 0.0))
            margin = 1 + PSF_TOLERANCE
            gaussian = isinstance(given, GaussianPSF) and low / margin <= given.fwhm <= high * margin
            if not (gaussian or given == own):
                needed = str(own) if kind not in self.fwhm else f"a GaussianPSF with a fwhm from {low} to {high}"
                raise InputError(
                    f"emulator {self.name} was made for {needed} in its {kind}; {observation.name} has {given}. Fit it"
                    " at full resolution, or with an emulator for this PSF (`galfit-sr emulators`, `galfit-sr train`)"
                )

    def plot(self) -> Figure:
        """Errors on held-out galaxies against a typical noise, and how well they are known, by map."""
        return self._draw()

    def purpose(self) -> str:
        """The data and galaxies that the emulator was made for, in a phrase."""
        recipe = self.recipe
        psfs = []
        for kind in ("photometry", "kinematics"):
            own = getattr(recipe, f"psf_{kind}")
            low, high = self.fwhm.get(kind, (0.0, 0.0))
            psfs.append(f"{kind} through {f'a GaussianPSF of {low} to {high} arcsec' if high else f'{own} (arcsec)'}")
        first, last = recipe.redshift
        trained = (
            f"trained at redshift {first if first == last else f'{first} to {last}'}, with"
            f" {', '.join(f'{name} {low:.3g} to {high:.3g}' for name, (low, high) in self.ranges.items())}"
        )
        return "; ".join(
            [
                f"a galaxy of {', '.join(recipe.components)}",
                f"{recipe.high.size}x{recipe.high.size} pixels of {recipe.high.pixel_scale} arcsec",
                *psfs,
            ]
            + ([trained] if self.ranges else [])
        )

    def beyond(self, contexts: np.ndarray, names: tuple[str, ...]) -> list[str]:
        """Sentences about quantities of a posterior that lie outside the training ranges.

        Args:
            contexts: (n, c) equally weighted draws of the scale-free quantities, pure numbers.
            names: of the columns.
        """
        found = []
        for name, column in zip(names, contexts.T, strict=True):
            low, high = self.ranges.get(name, (-math.inf, math.inf))
            share = float(np.mean((column < low) | (column > high)))
            if share > _NEGLIGIBLE:
                found.append(
                    f"{100 * share:.0f} % of the posterior lies outside what the emulator {self.name} was trained for:"
                    f" {name} from {low:.3g} to {high:.3g}, here {column.min():.3g} to {column.max():.3g}; compare with"
                    " a fit at full resolution."
                )
        return found

    def to_json(self) -> str:
        """Text from which `read_card` makes an equal card."""
        table = {**to_table(self), "recipe": self.recipe.table()}
        return json.dumps(table, indent=1) + "\n"


_NEGLIGIBLE = 0.01


def read_card(text: str, source: str) -> Card:
    """The card in JSON text.

    Args:
        text: of the file.
        source: its name, for messages.

    Raises:
        InputError: not JSON, an unknown or missing key, a wrong type or value.
    """
    try:
        table = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"{source} is not valid JSON: {error}") from error
    try:
        check_keys(table, [f.name for f in dataclasses.fields(Card)], "")
        recipe = read_recipe(table["recipe"]) if "recipe" in table else Recipe()
        rest = from_table(Card, {k: v for k, v in table.items() if k != "recipe"}, "card")
    except InputError as error:
        raise InputError(f"{source}: {error}") from error
    return dataclasses.replace(rest, recipe=recipe)
