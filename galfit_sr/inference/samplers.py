"""The samplers, by name."""

from __future__ import annotations

from .nested import Nested
from .nss import Nss
from .nuts import Nuts

Sampler = Nested | Nuts | Nss
SAMPLERS: dict[str, type[Nested] | type[Nuts] | type[Nss]] = {"nested": Nested, "nuts": Nuts, "nss": Nss}


def sampler_name(settings: Sampler) -> str:
    """Name of the sampler that these are the settings of."""
    return next(name for name, kind in SAMPLERS.items() if isinstance(settings, kind))
