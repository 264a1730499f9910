"""A short Markov chain around every mode: how wide the posterior really is, before nested sampling starts from it.

Laplace's approximation misses skewed and open directions (a bulge's inner slope, an unconstrained mass-to-light
ratio). The chain need not have converged: its moments only shape the density that nested sampling draws from.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from .maximum import Mode
from .problem import Problem
from .proposal import make_proposal
from .walk import FIRST_SCALE, differences, make_kernel, steered

_CHAINS = 64
_ROUNDS = 5
_BURN_IN = 2


def broaden(
    problem: Problem, modes: tuple[Mode, ...], seed: int, walkers: int, walks: int
) -> tuple[tuple[Mode, ...], int]:
    """Modes with the mean and covariance of the posterior around them.

    Differential-evolution chains start from draws of each mode's Laplace approximation; the positions after each of
    the later rounds are averaged, the Laplace covariance counting as many draws as there are dimensions.

    Args:
        problem: the galaxy.
        modes: as found.
        seed: of the chains.
        walkers, walks: as the nested sampler's, whose compiled kernel is used.

    Returns:
        modes, and the number of likelihood evaluations.
    """
    rng = np.random.default_rng(seed)
    kernel = make_kernel(problem, make_proposal(problem.target.ndim, None, problem.arrays.shift.dtype), walkers, walks)
    groups = max(1, _CHAINS // (walkers * len(modes)))
    broadened = []
    for mode in modes:
        pool = rng.multivariate_normal(mode.z, mode.covariance, size=max(groups * walkers, 2 * mode.z.size))
        chains = pool[: groups * walkers]
        scale, kept = FIRST_SCALE, []
        for step in range(_ROUNDS):
            walked = [
                kernel.run(
                    rng, group, differences(rng, pool, walkers, walks), threshold=-np.inf, power=1.0, scale=scale
                )
                for group in np.split(chains, groups)
            ]
            chains = np.concatenate([w.z for w in walked])
            scale = steered(scale, kernel.acceptance(np.concatenate([w.accepted for w in walked])))
            pool = np.concatenate([pool[len(chains) :], chains])
            if step >= _BURN_IN:
                kept.append(chains)
        draws = np.concatenate(kept)
        centre = draws.mean(axis=0)
        weight = len(draws) / (len(draws) + mode.z.size)
        covariance = weight * np.cov(draws.T) + (1 - weight) * mode.covariance
        broadened.append(dataclasses.replace(mode, z=centre, covariance=covariance))
    return tuple(broadened), len(modes) * groups * walkers * _ROUNDS * kernel.calls
