"""The samplers, by name."""

from __future__ import annotations

from typing import Any

from ..errors import InputError
from .nested import Nested
from .nss import Nss
from .nuts import Nuts

Sampler = Nested | Nuts | Nss
SAMPLERS: dict[str, type[Nested] | type[Nuts] | type[Nss]] = {"nested": Nested, "nuts": Nuts, "nss": Nss}


def check_sampler(settings: Any) -> None:
    """Raises InputError unless these are the settings of a sampler."""
    if not isinstance(settings, tuple(SAMPLERS.values())):
        raise InputError(f"the sampler is {settings!r}; settings such as Nested(nlive=500) or Nuts() are needed")


def sampler_name(settings: Sampler) -> str:
    """Name of the sampler that these are the settings of."""
    return next(name for name, kind in SAMPLERS.items() if isinstance(settings, kind))
