"""Would Nautilus (Lange 2023, MNRAS 525, 3181) earn a place among the samplers?

    pip install nautilus-sampler
    python studies/with_nautilus.py

Nested sampling by dynesty with our walks, and Nautilus, whose neural networks learn where to draw from: from the same
bent first answer, the same density and the same L pi/q, each until it ends by itself. The bundled galaxy, and a draw
from the prior on 20x20 pixels. Prints log evidence, likelihoods, effective samples and seconds, which count sampling
alone. Who is right about the evidence is told by importance sampling from that density.
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
from galfit_sr.inference.importance import weigh
from galfit_sr.inference.nested import run_nested
from galfit_sr.inference.problem import CHUNK, log_likelihoods
from galfit_sr.inference.proposal import from_cube, log_ratio, make_proposal
from galfit_sr.inference.strata import Stratum
from galfit_sr.inference.walk import make_kernel

SEED = 1
EFFECTIVE = 1000
"""About what a nested run with 200 live points gives."""


def dynesty(stratum: Stratum) -> dict[str, float]:
    """A run of the default sampler."""
    began, used = time.monotonic(), time.process_time()
    run = run_nested(*stratum, gs.Nested(), SEED)
    return {
        "log_evidence": run.log_evidence,
        "error": run.log_evidence_error,
        "likelihoods": run.calls,
        "effective": run.effective_sample_size,
        "seconds": time.monotonic() - began,
        "processor_seconds": time.process_time() - used,
    }


def nautilus(stratum: Stratum, live: int) -> dict[str, float]:
    """A run of Nautilus over the unit cube that the same density is drawn from."""
    problem = stratum.problem
    ndim, dtype = problem.target.ndim, problem.arrays.shift.dtype
    kernel = make_kernel(problem, make_proposal(ndim, stratum.mixture, dtype), 16, 60)
    engine = Engine(problem, kernel, "nautilus")
    # The last two of an engine's numbers are dynesty's: colour and family.
    began, used = time.monotonic(), time.process_time()
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
        "processor_seconds": time.process_time() - used,
        "ended": bool(ended),
    }


def importance(stratum: Stratum, seed: int, draws: int = 40 * CHUNK) -> dict[str, float]:
    """No sampler at all: draws from the density itself, weighed. Its evidence has no bias, and k-hat certifies it."""
    began, used = time.monotonic(), time.process_time()
    problem = stratum.problem
    proposal = make_proposal(problem.target.ndim, stratum.mixture, problem.arrays.shift.dtype)
    z = from_cube(proposal, np.random.default_rng(seed).random((draws, problem.target.ndim + 1)))
    found = weigh(log_likelihoods(problem, z) - log_ratio(proposal, z) + problem.offset)
    return {
        "log_evidence": found.log_mean,
        "error": found.log_mean_error,
        "likelihoods": draws,
        "effective": found.effective,
        "khat": found.khat,
        "seconds": time.monotonic() - began,
        "processor_seconds": time.process_time() - used,
    }


def main() -> None:
    """Runs the study."""
    for name in ("bundled", "draw"):
        answer = find_answer(pose(galaxy(name)), SEED, None)
        strata = covering(answer.problem, answer.modes, SEED, None).strata
        print(name, f"{len(strata)} strata; the first is sampled", flush=True)
        print("dynesty", dynesty(strata[0]), flush=True)
        for live in (500, 2000):
            print(f"nautilus, {live} live points", nautilus(strata[0], live), flush=True)
        for seed in (1, 2):
            print("importance sampling", importance(strata[0], seed), flush=True)


if __name__ == "__main__":
    gs.start_jax()
    main()
