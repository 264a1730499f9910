"""What two runs have in common that are the same."""

import dataclasses

import numpy as np

from galfit_sr.inference.sampled import Sampled


def assert_same(run: Sampled, other: Sampled) -> None:
    """All that they found, bit by bit; the time it took is another."""
    for name in {field.name for field in dataclasses.fields(Sampled)} - {"seconds"}:
        np.testing.assert_array_equal(getattr(run, name), getattr(other, name), err_msg=name)
