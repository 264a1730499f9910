"""What a configuration says of one parameter: a prior, a fixed value, or a tie."""

from __future__ import annotations

import dataclasses
import math
import types
from collections.abc import Mapping
from typing import Any

import numpyro.distributions as dist

from .errors import InputError
from .parameters import Parameter
from .prior_kinds import PRIORS, named
from .toml import check_keys, convert, from_table, to_table


@dataclasses.dataclass(frozen=True)
class PriorChoice:
    """A prior as a configuration writes it: its kind, a key of `PRIORS`, and its numbers."""

    kind: str
    numbers: tuple[float, ...]

    def distribution(self) -> dist.Distribution:
        """As NumPyro distribution."""
        return PRIORS[self.kind].build(*self.numbers)


@dataclasses.dataclass(frozen=True)
class Choice:
    """What a configuration says of one parameter; exactly one of the three is set."""

    prior: PriorChoice | None = None
    value: float | None = None
    tied: str | None = None

    @classmethod
    def of(cls, parameter: Parameter) -> Choice:
        """What makes a parameter what it is.

        Raises:
            InputError: its prior is not among `PRIORS`.
        """
        if parameter.prior is None:
            return cls(None, parameter.value, parameter.tied)
        found = named(parameter.prior)
        if found is not None:
            kind, numbers = found
            return cls(PriorChoice(kind, tuple(numbers.values())))
        raise InputError(
            f"the prior of {parameter.name!r} is a {type(parameter.prior).__name__}; a configuration can hold"
            f" {', '.join(PRIORS)}"
        )

    @classmethod
    def read(cls, name: str, table: Mapping[str, Any]) -> Choice:
        """From the table that TOML has for the parameter `name`.

        Raises:
            InputError: not exactly one of the three, an unknown prior, or numbers that make none.
        """
        section = f"parameters.{name}"
        check_keys(table, ["prior", "value", "tied"], section)
        if len(table) != 1:
            raise InputError(
                f"[{section}] has {', '.join(table) or 'nothing'}; exactly one of prior, value, tied is needed"
            )
        return cls(_read_prior(table["prior"], section)) if "prior" in table else from_table(cls, table, section)

    def table(self) -> dict[str, Any]:
        """The reverse of `read`."""
        return to_table(self) if self.prior is None else {"prior": {self.prior.kind: self.prior.numbers}}


def _read_prior(value: Any, section: str) -> PriorChoice:
    table = convert(value, Mapping[str, Any], section, "prior")
    check_keys(table, list(PRIORS), f"{section}.prior")
    if len(table) != 1:
        raise InputError(f"[{section}] prior = {dict(table)}; exactly one of {', '.join(PRIORS)} is needed")
    ((kind, numbers),) = table.items()
    names = PRIORS[kind].arguments
    hint = types.GenericAlias(tuple, (float,) * len(names))
    given = dict(zip(names, convert(numbers, hint, section, f"prior.{kind}"), strict=True))
    written = f"[{section}] prior.{kind} = {list(given.values())}"
    if not all(map(math.isfinite, given.values())):
        raise InputError(f"{written}; finite numbers ({', '.join(names)}) are needed")
    if "low" in given and not given["low"] < given["high"]:
        raise InputError(f"{written}; the lower bound must come first and be below the upper one")
    if kind == "loguniform" and not given["low"] > 0:
        raise InputError(f"{written}; both bounds must be positive")
    if kind == "isotropic" and not (given["low"] >= 0 and given["high"] <= math.pi):
        raise InputError(f"{written}; both bounds must lie between 0 and pi")
    if "sd" in given and not given["sd"] > 0:
        raise InputError(f"{written}; the standard deviation must be positive")
    return PriorChoice(kind, tuple(given.values()))
