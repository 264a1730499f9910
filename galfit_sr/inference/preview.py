"""What an emulator's first answer promises, before anything is sampled with it."""

from __future__ import annotations

import math

import numpy as np

from ..seeds import part_seed
from .answer import FirstAnswer
from .mixture import mode_weights
from .problem import CHUNK, Problem, log_likelihoods
from .sampled import Sampled
from .stage import Preview

_HOPELESS = 5.0
"""Scatter of the log of exact over emulated likelihood [nats] at which nothing that an emulator samples can be weighed:
of two Gaussian posteriors so many standard deviations apart, whose ratio scatters by as much, exp(-25) of the draws
are effective."""


def previewed(problem: Problem, answer: FirstAnswer, seed: int) -> Preview:
    """Whether what an emulator samples may be of use.

    Draws from Laplace's approximation to the first answer get the ratio of the likelihoods. Where its logarithm
    scatters by more than 5, over the middle 68 % of them, they are all that is needed to begin with the exact one.

    Args:
        problem: with the exact likelihood, and the latent coordinates of the answer.
        answer: the emulator's.
        seed: of the run; the draws have one of their own.
    """
    rng = np.random.default_rng(part_seed(seed, 5))
    modes = answer.modes
    shares = mode_weights(np.array([mode.log_evidence for mode in modes]))
    counts = rng.multinomial(CHUNK, shares)
    z = np.concatenate(
        [
            rng.multivariate_normal(mode.z, mode.covariance, count, check_valid="ignore", method="eigh")
            for mode, count in zip(modes, counts, strict=True)
        ]
    )
    emulated = log_likelihoods(answer.problem, z) + answer.problem.offset
    ratios = log_likelihoods(problem, z) + problem.offset - emulated
    usable = np.isfinite(ratios)
    calls = 2 * CHUNK
    if not usable.any() or np.subtract(*np.quantile(ratios[usable], (0.84, 0.16))) < 2 * _HOPELESS:
        return Preview(None, calls)
    even = np.full(usable.sum(), -math.log(usable.sum()))
    instead = Sampled(z[usable], even, emulated[usable], None, None, None, answer.calls + CHUNK, 0.0, False)
    return Preview(instead, calls)
