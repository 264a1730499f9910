"""What a nested run costs beyond its likelihoods: kernel, dynesty, dispatch and transfers.

    python studies/overhead.py

Prints the share of the bundled galaxy's default run that is not evaluation of the likelihood. Evaluations are counted
where they happen, those that end up unused included; what one takes is measured before and after, in batches of 1024
over the same devices.
"""

from __future__ import annotations

import os
import time

os.environ.setdefault("XLA_FLAGS", "--xla_force_host_platform_device_count=2")

import jax.numpy as jnp
import numpy as np

import galfit_sr as gs
from galfit_sr.inference import engine, walk
from galfit_sr.inference.fit import pose
from galfit_sr.inference.maximum import find_modes
from galfit_sr.inference.nested import Nested, run_nested
from galfit_sr.inference.problem import CHUNK, Problem, batch_log_likelihood
from galfit_sr.inference.variational import bend


def seconds_per_likelihood(problem: Problem, around: np.ndarray) -> float:
    """Median over ten batches."""
    z = jnp.asarray(around + 0.01 * np.random.default_rng(0).standard_normal((CHUNK, around.size)), jnp.float32)
    times = []
    for _ in range(11):
        began = time.perf_counter()
        batch_log_likelihood(problem.target, z, problem.arrays).block_until_ready()
        times.append(time.perf_counter() - began)
    return float(np.median(times[1:])) / CHUNK


def main() -> None:
    """Runs the study."""
    problem, modes, _ = find_modes(pose(gs.read(gs.mock_galaxy_path())), seed=1)
    mixture = bend(problem, modes, 1).mixture
    run_nested(problem, mixture, Nested(max_calls=4000), 0)  # compiles
    evaluated = [0]
    run, draw = walk.Kernel.run, engine.Engine.log_likelihoods

    def counted_run(self, *args, **kwargs):
        evaluated[0] += self.walkers * self.calls
        return run(self, *args, **kwargs)

    def counted_draw(self, z):
        evaluated[0] += -(-len(z) // CHUNK) * CHUNK
        return draw(self, z)

    walk.Kernel.run, engine.Engine.log_likelihoods = counted_run, counted_draw
    for settings in (Nested(), Nested(start="prior", max_calls=200_000)):
        evaluated[0] = 0
        before = seconds_per_likelihood(problem, modes[0].z)
        began = time.perf_counter()
        run_nested(problem, mixture, settings, 1)
        wall = time.perf_counter() - began
        after = seconds_per_likelihood(problem, modes[0].z)
        each = (before + after) / 2
        print(
            f"{settings.start}: {evaluated[0]} likelihoods in {wall:.1f} s; {1e3 * before:.3f} and {1e3 * after:.3f} ms"
            f" each; overhead {100 * (1 - evaluated[0] * each / wall):.0f} % of the run",
            flush=True,
        )


if __name__ == "__main__":
    main()
