"""How training pairs are drawn and computed: the data recipe that manifests and cards record."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Literal

from ..errors import InputError
from ..model.galaxy import GalaxyModel
from ..model.grid import FULL_RESOLUTION, LOW_RESOLUTION, Canvas
from ..model.scene import Scene, make_scene
from ..numeric import number
from ..parameters import COMPONENT_NAMES, THICK
from ..psf import IMAGING, PSF, SPECTROSCOPY
from ..psf_table import psf_table, read_psf
from ..seeds import checked_seed
from ..toml import convert, from_table, to_table


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Galaxies and the two ways they are seen: low resolution without PSF, high resolution as a detector would.

    Attributes:
        draws: `prior`, or `latin-hypercube` in the prior's unit cube (McKay et al. 1979, Technometrics 21, 239).
        seed: of the draws.
        redshift: lowest and highest, drawn uniformly in the logarithm.
        fidelity: of the high resolution (see `GalaxyModel`); the low one is the model at its pixels' centres.
        psf_photometry, psf_kinematics: of the high resolution; the low one has none.
        low, high: the canvases; the high one has a whole number of pixels for each of the low one.
        components: of the galaxies, at both resolutions: a bulge, two discs, razor-thin or thick, and a halo.
    """

    draws: Literal["prior", "latin-hypercube"] = "latin-hypercube"
    seed: int = 0
    redshift: tuple[float, float] = (0.03, 0.03)
    fidelity: Literal["point", "pixel"] = "pixel"
    psf_photometry: PSF = IMAGING
    psf_kinematics: PSF = SPECTROSCOPY
    low: Canvas = LOW_RESOLUTION
    high: Canvas = FULL_RESOLUTION
    components: tuple[str, ...] = COMPONENT_NAMES

    def __post_init__(self) -> None:
        object.__setattr__(self, "seed", checked_seed(self.seed))
        GalaxyModel(self.components)
        missing = set(COMPONENT_NAMES) - {name.removeprefix(THICK) for name in self.components}
        if missing:
            raise InputError(
                f"a model of {', '.join(self.components)} lacks {', '.join(sorted(missing))}; emulators are made for"
                f" galaxies of {', '.join(COMPONENT_NAMES)}, the discs razor-thin or thick"
            )
        if not (isinstance(self.redshift, tuple | list) and len(self.redshift) == 2):
            raise InputError(f"redshift is {self.redshift!r}; the lowest and the highest are needed")
        first, last = self.redshift
        if not 0 < number(first) <= number(last) < math.inf:
            raise InputError(f"redshifts reach from {first} to {last}; positive ones, the lowest first, are needed")
        if self.high.size % self.low.size:
            raise InputError(
                f"{self.high.size} pixels are no whole multiple of {self.low.size}; choose canvases that fit"
            )
        if not math.isclose(self.high.size * self.high.pixel_scale, self.low.size * self.low.pixel_scale):
            raise InputError("the two canvases do not cover the same field; their sizes times pixel scales must agree")

    @property
    def scale(self) -> int:
        """Pixels of the high resolution along a side of one of the low."""
        return self.high.size // self.low.size

    @property
    def low_model(self) -> GalaxyModel:
        """The model that a network starts from."""
        return GalaxyModel(self.components, self.low, "point")

    @property
    def high_model(self) -> GalaxyModel:
        """The model that it is to give."""
        return GalaxyModel(self.components, self.high, self.fidelity)

    def low_scene(self, redshift: float) -> Scene:
        """Scene of the low resolution at a `redshift`: no PSF."""
        return make_scene(self.low, redshift)

    def high_scene(self, redshift: float) -> Scene:
        """Scene of the high resolution at a `redshift`."""
        return make_scene(self.high, redshift, self.psf_photometry, self.psf_kinematics, fidelity=self.fidelity)

    def table(self) -> dict[str, Any]:
        """As TOML and JSON hold it; `read_recipe` reverses it."""
        psfs: dict[str, Any] = {key: psf_table(getattr(self, key)) for key in _PSFS}
        return {**to_table(self), **psfs}


_PSFS = ("psf_photometry", "psf_kinematics")


def read_recipe(table: Mapping[str, Any], section: str = "recipe") -> Recipe:
    """The recipe of a table.

    Raises:
        InputError: an unknown key, or a value that is not allowed.
    """
    psfs: dict[str, Any] = {
        key: read_psf(convert(table[key], Mapping[str, Any], section, key), f"{section}.{key}")
        for key in _PSFS
        if key in table
    }
    rest = from_table(Recipe, {k: v for k, v in table.items() if k not in _PSFS}, section)
    return dataclasses.replace(rest, **psfs)
