"""Seeds of random numbers: which are allowed."""

from __future__ import annotations

from .errors import InputError

LARGEST = 2**32 - 1


def check_seed(seed: int) -> None:
    """Raises InputError unless every generator of random numbers in use takes the seed."""
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed <= LARGEST:
        raise InputError(f"seed is {seed!r}; a whole number from 0 to {LARGEST} is needed")
