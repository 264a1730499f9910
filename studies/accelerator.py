"""What a GPU makes of likelihoods, gradients and fits, or whatever JAX finds where it runs.

    python studies/accelerator.py pixel conditioned nested nuts nss
    JAX_ENABLE_X64=1 python studies/accelerator.py pixel nested

A predictor's name: likelihoods and gradients per second of the bundled galaxy (80x80 pixels) by batch size, up to what
fits into memory. A sampler's name: a fit of the bundled galaxy, from the first answer to the posterior. All is kept as
soon as it is there, in studies/results/accelerator.json, by device and precision. (How exact single precision is, and
what a GPU computes beside a CPU: studies/accuracy.py.)
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

import galfit_sr as gs
from galfit_sr.analysis.benchmark import median_ms
from galfit_sr.devices import full_precision
from galfit_sr.inference.derived import parameter_summary
from galfit_sr.inference.fit import pose
from galfit_sr.inference.problem import Problem
from galfit_sr.model.scene import FIDELITIES
from galfit_sr.observations.mock import MOCK_TRUTH

RESULTS = Path(__file__).parent / "results" / "accelerator.json"
SIZES = (1, 256, 4096, 16384)
FUNCTIONS = {"likelihood": lambda function: function, "gradient": jax.value_and_grad}
MOST_MEMORY = 0.85
"""Of the device's memory that a program may take."""
SAMPLERS = {"nested": gs.Nested(), "nuts": gs.Nuts(), "nss": gs.Nss(batch=64)}
PREDICTORS = (*FIDELITIES, "conditioned", "isrcnn-joint")


def posed(name: str) -> Problem:
    """The bundled galaxy and a predictor: a fidelity of the full resolution, or an emulator."""
    galaxy = gs.read(gs.mock_galaxy_path())
    if name in FIDELITIES:
        return pose(galaxy, model=gs.GalaxyModel(fidelity=name))
    return pose(galaxy, emulator=name)


def rates(name: str) -> Iterator[list[dict[str, Any]]]:
    """A row per function and batch size: seconds to compile, bytes, and evaluations per second; those that are there so
    far, after each function."""
    problem = posed(name)
    rows: list[dict[str, Any]] = []
    for what in FUNCTIONS:
        rows += rates_of(what, problem)
        yield rows


def rates_of(what: str, problem: Problem) -> list[dict[str, Any]]:
    """Those of one function."""
    memory = (jax.devices()[0].memory_stats() or {}).get("bytes_limit", math.inf)
    target, arrays = problem.target, problem.arrays

    def compiled(size: int) -> tuple[Any, float]:
        began = time.perf_counter()
        with full_precision():
            batched = jax.jit(jax.vmap(FUNCTIONS[what](target.latent_log_likelihood), in_axes=(0, None)))
            program = batched.lower(jnp.zeros((size, target.ndim)), arrays).compile()
        return program, time.perf_counter() - began

    with ThreadPoolExecutor() as pool:
        programs = list(pool.map(compiled, SIZES))
    rows = []
    for size, (program, seconds) in zip(SIZES, programs, strict=True):
        needed = program.memory_analysis().temp_size_in_bytes
        row = {"what": what, "batch": size, "compile_s": seconds, "bytes": needed}
        if needed < MOST_MEMORY * memory:
            z = 0.3 * jax.random.normal(jax.random.key(0), (size, target.ndim))
            jax.block_until_ready(program(z, arrays))
            row["per_second"] = 1e3 * size / median_ms(lambda run=program, z=z: jax.block_until_ready(run(z, arrays)))
        rows.append(row)
        print(row, flush=True)
    return rows


def fitted(name: str) -> dict[str, Any]:
    """A fit of the bundled galaxy, nothing compiled before unless JAX's cache holds it."""
    began = time.monotonic()
    posterior = gs.fit(gs.read(gs.mock_galaxy_path()), sampler=SAMPLERS[name], seed=1)
    free = {p: row for p, row in parameter_summary(posterior).items() if p in MOCK_TRUTH}
    row = {
        "sampler": repr(SAMPLERS[name]),
        "seconds": time.monotonic() - began,
        "timings": dict(posterior.timings),
        "converged": posterior.converged,
        "likelihoods": posterior.n_likelihood_calls,
        "log_evidence": posterior.log_evidence,
        "log_evidence_error": posterior.log_evidence_error,
        "effective_samples": posterior.effective_sample_size,
        "diagnostics": {k: v for k, v in posterior.sampler_settings.items() if isinstance(v, int | float | str)},
        "means": {p: row["mean"] for p, row in free.items()},
        "deviations": {p: row["std"] for p, row in free.items()},
    }
    print(row, flush=True)
    return row


def main(parts: list[str]) -> None:
    """Runs the parts that are named, and keeps each at once."""
    device = jax.devices()[0].device_kind + (", float64" if jax.config.values["jax_enable_x64"] else "")
    for part in parts:
        results: Iterable[Any] = [fitted(part)] if part in SAMPLERS else rates(part)
        for result in results:
            found = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
            found.setdefault(device, {})[part] = result
            RESULTS.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    gs.start_jax()
    main(sys.argv[1:] or [*PREDICTORS, *SAMPLERS])
