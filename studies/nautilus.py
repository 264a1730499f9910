"""Does Nautilus (Lange 2023, MNRAS 525, 3181) earn a place beside our samplers?

    pip install nautilus-sampler && python studies/nautilus.py

The bundled galaxy, full resolution, until the posterior has as many effective samples as our own nested run: Nautilus
from the prior, Nautilus in the coordinates of the flow from which our runs start (likelihood times prior over its
density, as for them), and our own. Results go to studies/results/nautilus.json; seconds of the first answer and of
bending, which the last two need, are given apart.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from nautilus import Sampler
from scipy.special import ndtri

import galfit_sr as gs
from galfit_sr.inference.answer import find_answer
from galfit_sr.inference.coverage import covering
from galfit_sr.inference.fit import pose
from galfit_sr.inference.flow import Flow, to_latent
from galfit_sr.inference.nested import run_nested
from galfit_sr.inference.problem import Problem, in_chunks, log_likelihoods, log_standard_normal

RESULTS = Path(__file__).parent / "results" / "nautilus.json"
WIDER = 1.2
"""Times the flow's width, as the narrowest of what our runs start from."""
MOST_SECONDS = 900.0


def normal(u: np.ndarray) -> np.ndarray:
    """The unit cube as a standard normal."""
    return ndtri(np.clip(u, 1e-12, 1 - 1e-12))


@jax.jit
def through(flow: Flow, x: jax.Array) -> jax.Array:
    """Latent positions (m, ndim) of a flow's straight coordinates, and the log of the density there, (m, ndim + 1)."""
    z, log_jacobian = jax.vmap(to_latent, (None, 0))(flow, WIDER * x)
    density = log_standard_normal(x) - log_jacobian - x.shape[1] * jnp.log(WIDER)
    return jnp.concatenate([z, density[:, None]], axis=1)


def nautilus(problem: Problem, flow: Flow | None, effective: float) -> dict[str, float]:
    """A run of it, in the prior's coordinates or in those of a flow."""
    ndim, dtype = problem.target.ndim, problem.arrays.shift.dtype

    def likelihood(x: np.ndarray) -> np.ndarray:
        if flow is None:
            return np.maximum(log_likelihoods(problem, x), -1e30) + problem.offset
        rows = in_chunks(lambda chunk: through(flow, chunk), x, dtype)
        z, density = rows[:, :-1], rows[:, -1]
        ratio = -0.5 * np.sum(z**2, axis=1) - 0.5 * ndim * np.log(2 * np.pi) - density
        return np.maximum(log_likelihoods(problem, z) + ratio, -1e30) + problem.offset

    began = time.monotonic()
    sampler = Sampler(normal, likelihood, n_dim=ndim, vectorized=True, pass_dict=False, n_batch=1024, seed=1)
    ended = sampler.run(n_eff=effective, timeout=MOST_SECONDS)
    return told(sampler.log_z, sampler.n_eff, sampler.n_like, time.monotonic() - began) | {"ended": bool(ended)}


def told(log_evidence: float, effective: float, calls: int, seconds: float) -> dict[str, float]:
    """A row."""
    return {
        "log_evidence": float(log_evidence),
        "effective_samples": float(effective),
        "likelihoods": int(calls),
        "seconds": seconds,
        "per_second": float(effective) / seconds,
    }


def main() -> None:
    """Runs the study."""
    gs.start_jax()
    began = time.monotonic()
    answer = find_answer(pose(gs.read(gs.mock_galaxy_path())), 1, None)
    first = time.monotonic() - began
    (stratum, *_), calls, _ = covering(answer.problem, answer.modes, 1)
    found: dict[str, dict] = {
        "start": {"first answer": first, "bending": time.monotonic() - began - first, "calls": calls}
    }
    began = time.monotonic()
    run = run_nested(*stratum, gs.Nested(), 1)
    found["nested"] = told(run.log_evidence, run.effective_sample_size, run.calls, time.monotonic() - began)
    flow = stratum.mixture.flows(answer.problem.arrays.shift.dtype)[0]
    for name, start in (("nautilus, in the flow's coordinates", flow), ("nautilus, from the prior", None)):
        print(found, flush=True)
        found[name] = nautilus(stratum.problem, start, run.effective_sample_size)
    print(found)
    RESULTS.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
