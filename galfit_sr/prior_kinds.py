"""The priors that have names: what they are called, and their numbers."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpyro.distributions as dist

from .priors import Isotropic


@dataclasses.dataclass(frozen=True)
class PriorKind:
    """A prior that a configuration can name.

    Attributes:
        arguments: what its numbers are.
        build: NumPyro distribution from the numbers.
        numbers: the numbers of a NumPyro distribution, None if it is of another kind.
    """

    arguments: tuple[str, ...]
    build: Callable[..., dist.Distribution]
    numbers: Callable[[Any], tuple[float, ...] | None]


def _normal_numbers(d: Any) -> tuple[float, ...] | None:
    return (d.loc, d.scale) if type(d) is dist.Normal else None


def _truncated_normal_numbers(d: Any) -> tuple[float, ...] | None:
    normal = _normal_numbers(d.base_dist) if type(d) is dist.TwoSidedTruncatedDistribution else None
    return None if normal is None else (*normal, d.low, d.high)


def _between_bounds(cls: Callable[..., dist.Distribution]) -> PriorKind:
    return PriorKind(
        ("low", "high"),
        lambda low, high: cls(low, high, validate_args=False),
        lambda d: (d.low, d.high) if type(d) is cls else None,
    )


PRIORS = {
    "uniform": _between_bounds(dist.Uniform),
    "loguniform": _between_bounds(dist.LogUniform),
    "isotropic": _between_bounds(Isotropic),
    "normal": PriorKind(("mean", "sd"), lambda m, sd: dist.Normal(m, sd, validate_args=False), _normal_numbers),
    "truncated_normal": PriorKind(
        ("mean", "sd", "low", "high"),
        lambda mean, sd, low, high: dist.TruncatedNormal(mean, sd, low=low, high=high, validate_args=False),
        _truncated_normal_numbers,
    ),
}
"""Keys of `prior = { ... }`; isotropic has a density that goes as the sine (inclinations)."""


def named(prior: dist.Distribution) -> tuple[str, dict[str, float]] | None:
    """The kind of a prior, a key of `PRIORS`, and its numbers by name; None for a prior of another kind."""
    for kind, known in PRIORS.items():
        numbers = known.numbers(prior)
        if numbers is not None:
            return kind, dict(zip(known.arguments, map(float, numbers), strict=True))
    return None
