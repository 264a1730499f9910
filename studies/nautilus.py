"""Would Nautilus (Lange 2023, MNRAS 525, 3181) earn a place among the samplers?

    pip install nautilus-sampler
    python studies/nautilus.py

Nested sampling by dynesty with our walks, and Nautilus, whose neural networks learn where to draw from: from the same
bent first answer, the same density and the same L pi/q, each until it ends by itself. The bundled galaxy, and a draw
from the prior on 20x20 pixels. Prints log evidence, likelihoods, effective samples and seconds, which count sampling
alone.
"""

from __future__ import annotations

import time

import numpy as np
from agreement import galaxy
from nautilus import Sampler

import galfit_sr as gs
from galfit_sr.inference.answer import find_answer
from galfit_sr.inference.coverage import covering
from galfit_sr.inference.engine import Engine
from galfit_sr.inference.fit import pose
from galfit_sr.inference.nested import run_nested
from galfit_sr.inference.proposal import make_proposal
from galfit_sr.inference.strata import Stratum
from galfit_sr.inference.walk import make_kernel

SEED = 1
EFFECTIVE = 1000
"""About what a nested run with 200 live points gives."""


def dynesty(stratum: Stratum) -> dict[str, float]:
    """A run of the default sampler."""
    began = time.monotonic()
    run = run_nested(*stratum, gs.Nested(), SEED)
    weights = np.exp(run.log_weights)
    return {
        "log_evidence": run.log_evidence,
        "error": run.log_evidence_error,
        "likelihoods": run.calls,
        "effective": float(np.sum(weights) ** 2 / np.sum(weights**2)),
        "seconds": time.monotonic() - began,
    }


def nautilus(stratum: Stratum, live: int) -> dict[str, float]:
    """A run of Nautilus over the unit cube that the same density is drawn from."""
    problem = stratum.problem
    ndim, dtype = problem.target.ndim, problem.arrays.shift.dtype
    kernel = make_kernel(problem, make_proposal(ndim, stratum.mixture, dtype), 16, 60)
    engine = Engine(problem, kernel, "nautilus")
    # The last two of an engine's numbers are dynesty's: colour and family.
    began = time.monotonic()
    sampler = Sampler(
        lambda u: engine.transform(np.concatenate([u, np.zeros((len(u), 1))], axis=1))[:, :-2],
        engine.log_likelihoods,
        n_dim=ndim + 1,
        n_live=live,
        n_batch=1024,
        vectorized=True,
        seed=SEED,
    )
    ended = sampler.run(n_eff=EFFECTIVE, timeout=900)
    return {
        "log_evidence": float(sampler.log_z),
        "error": float(sampler.n_eff) ** -0.5,
        "likelihoods": int(sampler.n_like),
        "effective": float(sampler.n_eff),
        "seconds": time.monotonic() - began,
        "ended": bool(ended),
    }


def main() -> None:
    """Runs the study."""
    for name in ("second draw", "bundled"):
        answer = find_answer(pose(galaxy(name)), SEED)
        strata = covering(answer.problem, answer.modes, SEED, None).strata
        print(name, f"{len(strata)} strata; the first is sampled", flush=True)
        print("dynesty", dynesty(strata[0]), flush=True)
        for live in (500, 2000):
            print(f"nautilus, {live} live points", nautilus(strata[0], live), flush=True)


if __name__ == "__main__":
    gs.start_jax()
    main()
