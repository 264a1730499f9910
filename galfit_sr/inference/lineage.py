"""What it means for the evidence that the samples of a nested run are related.

A new live point is where a walk ended that began at another: a family descends from every point that was drawn freely.
If walks forget where they began, relations mean nothing. If they do not, because parts of the region are no longer
connected above some likelihood, then as many families as lead to the posterior have measured its volume, however many
the live points: their numbers drifted on the way, and the evidence scatters by more than the shrinkage of every step
tells.
"""

from __future__ import annotations

import numpy as np

from .sampled import evidence_effect
from .statistics import effective_sample_size


def births(thread: np.ndarray, batch: np.ndarray, floors: np.ndarray) -> np.ndarray:
    """(n,) row after whose death each point of a run, in order of likelihood, became alive; -1 for the first ones.

    Args:
        thread: (n,) place among the live points; a new point takes that of the one that died.
        batch: (n,) batch that a point belongs to.
        floors: (b,) row after whose death each batch began.
    """
    order = np.lexsort((np.arange(thread.size), thread))
    follows = np.concatenate([[False], np.diff(thread[order]) == 0])
    born = np.empty(thread.size, dtype=int)
    born[order] = np.where(follows, np.roll(order, 1), floors[batch[order]])
    return born


def families(family: np.ndarray, weights: np.ndarray) -> float:
    """How many families of equal weight the posterior descends from, from samples' families (n,) and weights (n,)."""
    _, member = np.unique(family, return_inverse=True)
    return effective_sample_size(np.bincount(member, weights))


def relatedness(family: np.ndarray, born: np.ndarray) -> np.ndarray:
    """(n,) probability that two of the live points are of one family, when each of the n points dies."""
    _, member = np.unique(family, return_inverse=True)
    members = np.zeros(member.max() + 1)
    newborn = np.argsort(born, kind="stable")
    arrivals = np.searchsorted(born[newborn], np.arange(-1, born.size - 1), side="right")
    related = np.empty(born.size)
    alive = pairs = arrived = 0
    for row, arrivals_so_far in enumerate(arrivals):
        for point in newborn[arrived:arrivals_so_far]:
            members[member[point]] += 1
            pairs += 2 * members[member[point]] - 1
        alive += arrivals_so_far - arrived
        arrived = arrivals_so_far
        related[row] = pairs / alive**2
        pairs -= 2 * members[member[row]] - 1
        members[member[row]] -= 1
        alive -= 1
    return related


def family_error(weights: np.ndarray, log_volume: np.ndarray, family: np.ndarray, born: np.ndarray) -> float:
    """Standard deviation of the log evidence by which families happened to be drawn.

    The infinitesimal jackknife (Efron 1982, The Jackknife, the Bootstrap and Other Resampling Plans, ch. 6) over
    families: by how much the log evidence changes when a family, with each of its points, counts a little more. A
    family is due as many deaths as its share of the living asks for, each by its effect on the evidence; what it has in
    excess adds up over its life, and the squares of that over families. To first order it is what the bootstrap over
    threads of Higson et al. (2018, Bayesian Anal. 13, 873) becomes where relations between threads count. If the
    posterior lies in a part of the region that few families reached, their excess shows; if families mix, all die at
    the same rate. What happens within a family is left out, see `evidence_error`.

    Args:
        weights: (n,) of the samples, normalised, likelihood increasing.
        log_volume: (n,) above each of them.
        family: (n,) name of each point's family.
        born: (n,) from `births`.
    """
    _, member = np.unique(family, return_inverse=True)
    alive = np.cumsum(np.bincount(born + 1, minlength=born.size)) - np.arange(born.size)
    effect = evidence_effect(weights, log_volume)
    due = np.concatenate([[0.0], np.cumsum(effect / alive)])
    excess = effect - (due[1:] - due[born + 1])
    return float(np.linalg.norm(np.bincount(member, excess)))
