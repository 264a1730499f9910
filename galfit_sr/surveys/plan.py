"""What a survey is to do: its galaxies, the configuration of each of their fits, and what tells it from another."""

from __future__ import annotations

import dataclasses
import hashlib
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ..analysis.kept_folder import claim, read_json
from ..analysis.rendering import json_text
from ..config import FitConfig, ObservationConfig, dumps, loads
from ..emulation.registry import find_emulator
from ..errors import InputError, unknown_name
from ..inference.nuts import Nuts
from ..inference.samplers import check_sampler
from ..toml import from_table
from .galaxies import Galaxy
from .variants import VARIANTS, variant_config

MARK = "survey.json"
"""File that holds the plan."""
_OUTCOMES, _FITS, _THUMBNAILS = "outcomes", "galaxies", "thumbnails"
_LIMITS = ("max_seconds", "max_calls")
"""Of the sampler. They belong to one session, as in a single fit: a survey that goes on may have others."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """A survey before anything is fitted.

    Attributes:
        galaxies: with different names.
        config: of every fit, but for the data and the seed.
        variants: names of the models that are compared (`variants.VARIANTS`); the configuration's own model if empty.
        version: of galfit_sr, which decides the fits as well.

    Raises:
        InputError: no settings of a sampler, an unknown variant, or variants whose evidences could not be compared.
    """

    galaxies: tuple[Galaxy, ...]
    config: FitConfig
    variants: tuple[str, ...] = ()
    version: str = dataclasses.field(default_factory=lambda: version("galfit-sr"))

    def __post_init__(self) -> None:
        check_sampler(self.config.sampler)
        for variant in self.variants:
            if variant not in VARIANTS:
                raise InputError(unknown_name(variant, list(VARIANTS), "variant"))
        if len(set(self.variants)) != len(self.variants):
            raise InputError(f"variants are {', '.join(self.variants)}; each is needed once")
        if self.variants and isinstance(self.config.sampler, Nuts):
            raise InputError("the sampler nuts gives no evidence to compare variants by; nested or nss is needed")
        if self.variants and self.config.emulator is not None:
            raise InputError(
                f"emulator {self.config.emulator} is for a model of its own; variants need the full resolution"
            )
        if self.config.emulator is not None:
            find_emulator(self.config.emulator)

    @cached_property
    def identity(self) -> dict[str, Any]:
        """Everything that decides the fits of a galaxy, as texts and numbers that two processes write alike."""
        emulator = self.config.emulator
        without: dict[str, Any] = dict.fromkeys(_LIMITS)
        sampler = dataclasses.replace(self.config.sampler, **without)
        observation = dataclasses.replace(self.config.observation, file=None)
        return {
            "version": self.version,
            "config": dumps(dataclasses.replace(self.config, sampler=sampler, observation=observation)),
            "variants": list(self.variants),
            "emulator_sha256": None if emulator is None else find_emulator(emulator).card.sha256,
        }

    @cached_property
    def hash(self) -> str:
        """Hexadecimal digest of `identity`, the same for every galaxy."""
        return hashlib.sha256(json_text(self.identity).encode()).hexdigest()

    @property
    def names(self) -> tuple[str, ...]:
        """Of the galaxies."""
        return tuple(galaxy.name for galaxy in self.galaxies)

    def configs(self, galaxy: Galaxy) -> dict[str, FitConfig]:
        """Variant ("" for the configuration's own model) -> configuration of a galaxy's fit."""
        data = self.config.observation
        observation: ObservationConfig = dataclasses.replace(
            data,
            file=galaxy.file,
            region=galaxy.region or data.region,
            masses=galaxy.masses or data.masses,
        )
        # Of the name, so that a galaxy does not depend on its place in the list.
        seed = int.from_bytes(hashlib.sha256(f"{self.config.seed} {galaxy.name}".encode()).digest()[:4], "big")
        own = dataclasses.replace(self.config, observation=observation, seed=seed)
        return {name: variant_config(own, name) for name in self.variants} or {"": own}


def keep_plan(folder: Path, plan: Plan, resume: bool) -> None:
    """Makes a folder that of a survey, or sees that it is.

    Raises:
        InputError: it holds another survey or something else, or this one and it is not to be resumed.
    """
    held = (folder / MARK).is_file()
    galaxies = [dataclasses.asdict(galaxy) for galaxy in plan.galaxies]
    limits = {name: getattr(plan.config.sampler, name) for name in _LIMITS}
    claim(folder, MARK, {**plan.identity, "galaxies": galaxies}, "survey", {"limits": limits})
    if held and not resume:
        raise InputError(f"{folder} holds this very survey; go on with --resume, or choose another folder")


def read_plan(folder: Path) -> Plan:
    """The plan that a folder holds.

    Raises:
        InputError: there is none.
    """
    if not (folder / MARK).is_file():
        raise InputError(f"{folder} holds no survey: it has no {MARK}")
    held = read_json(folder / MARK)
    try:
        galaxies = tuple(from_table(Galaxy, _given(row), "galaxies") for row in held["galaxies"])
        config = loads(held["config"], str(folder / MARK))
        config = dataclasses.replace(config, sampler=dataclasses.replace(config.sampler, **held.get("limits", {})))
        return Plan(galaxies, config, tuple(held["variants"]), held["version"])
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{folder / MARK} is not the plan of a survey ({error!r})") from error


def outcome_file(folder: Path, name: str) -> Path:
    """What became of a galaxy."""
    return folder / _OUTCOMES / f"{name}.json"


def run_folder(folder: Path, name: str, variant: str) -> Path:
    """Of a galaxy's fit."""
    return folder / _FITS / name / variant


def thumbnail_file(folder: Path, name: str) -> Path:
    """A galaxy's small picture."""
    return folder / _THUMBNAILS / f"{name}.png"


def _given(row: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if value is not None}
