"""A run for every mode of a posterior, and what lets their samples and evidences add up.

Where modes share the live points of one run, those of a mode in which most draws are worthless die before the few good
ones among them are all that is left, and the mode with them (docs/calibrate.md). So every mode has a run of its own,
which starts from its own density q_k, in its own coordinates. The runs weigh by the same L pi / sum_j q_j: each looks
for what it is nearest to, and together they find the posterior and its evidence. In importance sampling this is the
balance heuristic (Veach & Guibas 1995, SIGGRAPH 95, 419; Owen & Zhou 2000, J. Am. Stat. Assoc. 95, 135).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .mixture import MOST_COMPONENTS, Mixture
from .problem import Problem, log_likelihoods
from .proposal import Rivals, log_ratio, make_proposal
from .ridge import ridge_of, straight, straight_ridge


class Stratum(NamedTuple):
    """Where a run starts.

    Attributes:
        problem: the galaxy, in coordinates in which the ridges of a mode are straight.
        mixture: what its posterior looks like there.
    """

    problem: Problem
    mixture: Mixture


class Start(NamedTuple):
    """All that runs start from.

    Attributes:
        strata: one for each.
        calls: evaluations of the likelihood that they took.
        seconds: name of a part of the way there -> what it took.
        uncovered: share of independent draws from the posterior that lie where none of them reaches; NaN if nobody
            looked.
    """

    strata: tuple[Stratum, ...]
    calls: int
    uncovered: float = math.nan
    seconds: Mapping[str, float] = MappingProxyType({})


def rivals_of(strata: Sequence[Stratum]) -> list[Rivals | None]:
    """For every stratum, the densities that all others start from; None if there is only one."""
    if len(strata) == 1:
        return [None]
    ndim, dtype = strata[0].problem.target.ndim, strata[0].problem.arrays.shift.dtype
    ridges = [ridge_of(stratum.problem) or straight_ridge(ndim, dtype) for stratum in strata]
    densities = list(zip(ridges, (make_proposal(ndim, one.mixture, dtype) for one in strata), strict=True))
    found: list[Rivals | None] = []
    for number, ridge in enumerate(ridges):
        others = [*densities[:number], *densities[number + 1 :]]
        # Of the same shapes however many there are.
        padded = others + others[:1] * (MOST_COMPONENTS - len(strata))
        theirs, proposals = jax.tree.map(lambda *leaves: jnp.asarray(np.stack(leaves)), *padded)
        found.append(Rivals(ridge, theirs, proposals, jnp.asarray(len(others))))
    return found


def log_weights(strata: Sequence[Stratum], z: np.ndarray) -> np.ndarray:
    """(m,) log of the posterior over the density of all strata, up to the evidence, at latent vectors z (m, ndim)."""
    problem, mixture = strata[0]
    y = straight(problem, z)
    proposal = make_proposal(z.shape[1], mixture, problem.arrays.shift.dtype, rivals_of(strata)[0])
    return log_likelihoods(problem, y) - log_ratio(proposal, y)
