"""Seeds of random numbers: which are allowed, and those of the parts of a run."""

from __future__ import annotations

from .numeric import whole

LARGEST = 2**32 - 1


def checked_seed(seed: int) -> int:
    """The seed, as a whole number of Python's; raises InputError unless every generator in use takes it."""
    return whole("seed", seed, 0, LARGEST)


def part_seed(seed: int, part: int) -> int:
    """A seed for one part of a run.

    A nested run whose proposal was made from random draws must have random numbers of its own: with the same ones, and
    100 live points, its log evidence was too low by a whole error (docs/measured.md).
    """
    import numpy as np  # not above: the command line's help needs the largest seed, and does not load NumPy for it

    return int(np.random.SeedSequence((seed, part)).generate_state(1)[0])


def own_seed(seed: int, number: int) -> int:
    """The seed of one of several like parts, for the first that of the whole."""
    return seed if number == 0 else part_seed(seed, 10 + number)
