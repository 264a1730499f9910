"""Models of different components for the same galaxy, and which of them the evidence prefers."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import NamedTuple

from ..choices import Choice
from ..config import FitConfig
from ..parameters import JITTER, Order, default_parameters

VARIANTS = {
    "bulge+disc": ("bulge", "disc1"),
    "bulge+discs": ("bulge", "disc1", "disc2"),
    "discs": ("disc1", "disc2"),
}
"""Name -> luminous components; the halo is there if the configuration has one."""


class Preference(NamedTuple):
    """Which of several models the evidence prefers.

    Attributes:
        variant: with the highest log evidence.
        margin, error: by how much it beats the second, in nats, with its standard deviation; None without a second, or
            without errors.
    """

    variant: str
    margin: float | None = None
    error: float | None = None

    @property
    def decided(self) -> bool:
        """Whether the margin is larger than twice its error, and than the 1 below which no evidence is worth a mention
        (Kass & Raftery 1995, JASA 90, 773)."""
        return self.margin is not None and self.margin > max(1.0, 2 * (self.error or 0.0))


def variant_config(config: FitConfig, variant: str) -> FitConfig:
    """The configuration with the components of a variant, without what it says of parameters that are not there."""
    halo = tuple(c for c in config.components if c == "halo")
    components = (*VARIANTS[variant], *halo)
    names = {*(p.name for p in default_parameters(components)), JITTER.name}
    choices: dict[str, Choice] = {
        name: choice
        for name, choice in config.parameters.items()
        if name in names and (choice.tied is None or choice.tied in names)
    }
    orders = config.orders
    if orders is not None:
        left = (Order(tuple(s for s in order.smaller if s in names), order.larger) for order in orders)
        orders = tuple(order for order in left if order.smaller and order.larger in names)
    return dataclasses.replace(
        config, model=dataclasses.replace(config.model, components=components), parameters=choices, orders=orders
    )


def preferred(evidences: Mapping[str, tuple[float | None, float | None]]) -> Preference | None:
    """The variant with the highest log evidence.

    Args:
        evidences: variant -> log evidence and its standard deviation, None where unknown.

    Returns:
        None where no evidence is known.
    """
    known = {name: (value, error) for name, (value, error) in evidences.items() if value is not None}
    ranked = sorted(known, key=lambda name: -known[name][0])
    if not ranked:
        return None
    if len(ranked) == 1:
        return Preference(ranked[0])
    (best, first), (second, other) = (known[name] for name in ranked[:2])
    error = None if first is None or other is None else math.hypot(first, other)
    return Preference(ranked[0], best - second, error)
