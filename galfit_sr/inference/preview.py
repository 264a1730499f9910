"""What an emulator's first answer promises, before anything is sampled with it."""

from __future__ import annotations

import math

import numpy as np

from ..seeds import part_seed
from .answer import FirstAnswer
from .mixture import laplace_mixture
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
    scatters by more than 5, half of what the middle 68 % of them span, they are all that is needed to begin with the
    exact one.

    Args:
        problem: with the exact likelihood, and the latent coordinates of the answer.
        answer: the emulator's.
        seed: of the run; the draws have one of their own.
    """
    rng = np.random.default_rng(part_seed(seed, 5))
    around = laplace_mixture(answer.modes)
    parts = zip(around.means, around.covariances, rng.multinomial(CHUNK, around.weights), strict=True)
    z = np.concatenate([rng.multivariate_normal(*part, check_valid="ignore", method="eigh") for part in parts])
    emulated = log_likelihoods(answer.problem, z) + answer.problem.offset
    ratios = log_likelihoods(problem, z) + problem.offset - emulated
    usable = np.isfinite(ratios)
    calls = 2 * CHUNK
    if not usable.any() or np.subtract(*np.quantile(ratios[usable], (0.84, 0.16))) < 2 * _HOPELESS:
        return Preview(None, calls)
    even = np.full(usable.sum(), -math.log(usable.sum()))
    instead = Sampled(z[usable], even, emulated[usable], None, None, None, answer.calls + CHUNK, 0.0, False)
    return Preview(instead, calls)
