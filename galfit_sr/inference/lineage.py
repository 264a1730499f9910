"""What it means for the evidence that the samples of a nested run are related.

A new live point is where a walk ended that began at another: a family descends from every point that was drawn freely.
If walks forget where they began, relations mean nothing. If they do not, because parts of the region are no longer
connected above some likelihood, then as many families as lead to the posterior have measured its volume, however many
the live points: their numbers drifted on the way, and the evidence scatters by more than the shrinkage of every step
tells.
"""

from __future__ import annotations

import numpy as np

from .statistics import effective_sample_size

_REPLICATES = 200


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


def family_error(log_likelihood: np.ndarray, family: np.ndarray, born: np.ndarray, seed: int) -> float:
    """Standard deviation of the log evidence by which families happened to be drawn.

    The Bayesian bootstrap (Rubin 1981, Ann. Stat. 9, 130) over families: every family, and with it each of its points,
    counts as often as an exponential deviate tells, and the volumes shrink by the share of the live points that died.
    It is the bootstrap over threads of Higson et al. (2018, Bayesian Anal. 13, 873) where relations between threads are
    taken into account. If the posterior lies in a part of the region that few families reached, their number shows; if
    families mix, all die at the same rate. What happens within a family is left out, see `evidence_error`.

    Args:
        log_likelihood: (n,) increasing.
        family: (n,) name of each point's family.
        born: (n,) from `births`.
        seed: of the deviates.
    """
    _, member = np.unique(family, return_inverse=True)
    rng = np.random.default_rng(seed)
    evidences = []
    for _ in range(_REPLICATES):
        count = rng.standard_exponential(member.max() + 1)[member]
        died = np.concatenate([[0.0], np.cumsum(count)[:-1]])
        alive = np.cumsum(np.bincount(born + 1, count, minlength=count.size)) - died
        shrinkage = -np.log1p(count / alive)
        log_volume = np.cumsum(shrinkage)
        lost = log_volume + np.log(np.expm1(-shrinkage))
        evidences.append(np.logaddexp.reduce(log_likelihood + lost))
    return float(np.std(evidences, ddof=1))
