"""Strata that together cover a posterior: around its modes, and around what flows from there leave out.

A flow that starts at a mode may end at a bend of the posterior, and hardly draws what lies beyond; draws alone would
never tell. What tells are independent ones by randomised maximum likelihood (`maximum.perturbed`): where the posterior
over the density of all strata is far above what it is at most of them, another stratum is needed, and begins there.
So mixtures are boosted (Guo et al. 2016, arXiv:1611.05559; Miller, Foti & Adams 2017, ICML), by whole flows. One draw
in 64 is enough: the parts that are told so hold a percent or two, as much as the evidence's error.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..progress import Progress, one_of
from ..seeds import own_seed, part_seed
from .maximum import Mode, modes_at, perturbed
from .mixture import MOST_COMPONENTS
from .problem import Problem
from .straightening import straightened
from .strata import Start, Stratum, log_weights
from .variational import HOPELESS, bend

_DRAWS = 64
_SPARSE = 6.0
"""Nats above the lower quartile at which a draw is not covered: the widest parts of a proposal end there."""
_TRIES = MOST_COMPONENTS + 6


def covering(problem: Problem, modes: tuple[Mode, ...], seed: int, progress: Progress | None = None) -> Start:
    """Strata that cover a posterior as far as is known, at most `MOST_COMPONENTS`.

    Args:
        problem: the galaxy, cut between its modes.
        modes: the best first.
        seed: of every random number.
        progress: called with a phrase, None and a few words.

    Returns:
        without strata that would hold nothing of the posterior.
    """
    modes = modes[:MOST_COMPONENTS]
    found: list[_Shaped] = []

    def shaped(mode: Mode) -> _Shaped:
        number = len(found)
        told = one_of(progress, number, max(len(modes), number + 1))
        return _shaped(problem, mode, _best(found), own_seed(seed, number), told)

    for mode in modes:
        if mode.log_evidence > _best(found) - 2 * HOPELESS:
            found.append(shaped(mode))
    # Searches stay near where they start: draws around a mode that holds nothing would be taken for uncovered ones.
    draws, climbs = perturbed(problem, [one.mode for one in _kept(found)], _DRAWS, part_seed(seed, 4))
    while True:
        strata = tuple(one.stratum for one in _kept(found))
        weights = log_weights(strata, draws)
        sparse = np.flatnonzero(weights > np.quantile(weights, 0.25) + _SPARSE)
        if len(sparse) == 0 or len(strata) == MOST_COMPONENTS or len(found) == _TRIES:
            return Start(strata, climbs + sum(one.calls for one in found), len(sparse) / len(draws))
        starts = modes_at(problem, draws[sparse])
        chosen = int(np.argmax([start.log_posterior for start in starts]))
        found.append(shaped(starts[chosen]))
        draws = np.delete(draws, sparse[chosen], axis=0)


class _Shaped(NamedTuple):
    """A stratum, the mode that it is around, the log evidence there as far as is known, and the likelihoods it took."""

    stratum: Stratum
    mode: Mode
    log_evidence: float
    calls: int


def _shaped(problem: Problem, mode: Mode, best: float, seed: int, progress: Progress | None) -> _Shaped:
    straight, modes, looks = straightened(problem, (mode,), part_seed(seed, 3), progress)
    bent = bend(straight, modes, part_seed(seed, 1), progress, best)
    # A flow that misses much of a mode takes its evidence for too small, a Gaussian likewise.
    evidence = max(bent.log_evidence, mode.log_evidence)
    return _Shaped(Stratum(straight, bent.mixture), mode, evidence, looks + bent.calls)


def _best(found: Sequence[_Shaped]) -> float:
    return max((one.log_evidence for one in found), default=-np.inf)


def _kept(found: Sequence[_Shaped]) -> list[_Shaped]:
    """Those that may hold something of the posterior."""
    return [one for one in found if one.log_evidence > _best(found) - HOPELESS]
