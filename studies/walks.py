"""Which walk draws live points best? Random, slice and Galilean walks on known evidences and on the bundled galaxy.

    python studies/walks.py analytic | galaxy | prior WALK LENGTH

Appends one line per set of runs to studies/results/walks.jsonl. `evaluations` counts likelihoods, a gradient as four
(what it costs on the galaxy, see docs/measured.md). The winner is `galfit_sr.inference.walk`; the other two are here
alone, with the same interface.

- slice: univariate slice sampling along differences of live points (Neal 2003, Ann. Statist. 31, 705; as in PolyChord,
  Handley et al. 2015), bracket of twice the difference, shrinking.
- galilean: straight flights, whitened by the live points, mirrored at the likelihood's contour by its gradient
  (Skilling 2012, AIP Conf. Proc. 1443, 145); q enters by a Metropolis test, velocities are redrawn every fifth step.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import galfit_sr as gs
from galfit_sr.inference import nested, walk
from galfit_sr.inference.fit import pose
from galfit_sr.inference.maximum import find_modes
from galfit_sr.inference.mixture import Mixture
from galfit_sr.inference.nested import Nested, run_nested
from galfit_sr.inference.problem import Arrays, Problem, Target
from galfit_sr.inference.proposal import Proposal, log_density
from galfit_sr.inference.variational import bend
from galfit_sr.inference.walk import Walked, repartitioned_log_likelihood

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "inference"))
import analytic

RESULTS = Path(__file__).parent / "results" / "walks.jsonl"
GRADIENT = 4
_BRACKET, _MOST_SHRINKS, _REDRAW = 2.0, 30, 5


@partial(jax.jit, static_argnums=0)
def slice_walk(
    target: Target,
    start: jax.Array,
    directions: jax.Array,
    threshold: jax.Array,
    scale: jax.Array,
    keys: jax.Array,
    proposal: Proposal,
    arrays: Arrays,
) -> tuple[Walked, jax.Array]:
    """Positions after as many slices as there are directions (w, s, ndim), and the evaluations (w,) they took."""

    def one(batch):
        z, directions, key = batch

        def step(state, offered):
            z, value, count = state
            direction, key = offered
            keys = jax.random.split(key, 3)
            height = log_density(proposal, z) + jnp.log(jax.random.uniform(keys[0], minval=1e-30))
            low = -_BRACKET * jax.random.uniform(keys[1])

            def inside(new):
                return repartitioned_log_likelihood(target, new, proposal, arrays)

            def shrink(bracket):
                low, high, key, _, _, tries, count = bracket
                key, own = jax.random.split(key)
                t = low + (high - low) * jax.random.uniform(own)
                new = z + t * direction
                dense = log_density(proposal, new) > height
                found = jax.lax.cond(dense, inside, lambda _: jnp.asarray(-jnp.inf, value.dtype), new)
                low, high = jnp.where(t < 0, t, low), jnp.where(t < 0, high, t)
                return low, high, key, t, found, tries + 1, count + dense

            def missed(bracket):
                return (bracket[4] <= threshold) & (bracket[5] < _MOST_SHRINKS)

            first = (low, low + _BRACKET, keys[2], jnp.zeros_like(low), jnp.asarray(-jnp.inf, value.dtype), 0, count)
            *_, t, found, _, count = jax.lax.while_loop(missed, shrink, first)
            hit = found > threshold
            return (jnp.where(hit, z + t * direction, z), jnp.where(hit, found, value), count), None

        value = repartitioned_log_likelihood(target, z, proposal, arrays)
        each = jax.random.split(key, directions.shape[0])
        (z, value, count), _ = jax.lax.scan(step, (z, value, jnp.ones((), jnp.int32)), (directions, each))
        return Walked(z, value, jnp.zeros(())), count

    return jax.lax.map(one, (start, directions, keys))


@partial(jax.jit, static_argnums=0)
def galilean_walk(
    target: Target,
    start: jax.Array,
    directions: jax.Array,
    threshold: jax.Array,
    scale: jax.Array,
    keys: jax.Array,
    proposal: Proposal,
    arrays: Arrays,
) -> tuple[Walked, jax.Array]:
    """As `slice_walk`; velocities are `directions` (w, s, ndim), normal with the covariance of the live points."""
    covariance = jnp.cov(directions.reshape(-1, start.shape[1]).T)

    def value_of(z):
        return repartitioned_log_likelihood(target, z, proposal, arrays)

    def one(batch):
        z, directions, key = batch

        def step(state, offered):
            z, value, velocity, count, moved = state
            fresh, redraw, chance = offered
            velocity = jnp.where(redraw, scale * fresh, velocity)
            ahead = z + velocity
            value_ahead = value_of(ahead)

            def mirrored(_):
                slope = jax.grad(value_of)(ahead)
                normal = covariance @ slope
                turned = velocity - 2 * (velocity @ slope) / (slope @ normal) * normal
                turned = jnp.where(jnp.all(jnp.isfinite(turned)), turned, -velocity)
                return ahead + turned, value_of(ahead + turned), turned, GRADIENT + 1

            out = value_ahead <= threshold
            new, new_value, new_velocity, more = jax.lax.cond(
                out, mirrored, lambda _: (ahead, value_ahead, velocity, 0), None
            )
            gain = log_density(proposal, new) - log_density(proposal, z)
            take = (new_value > threshold) & (jnp.log(chance) < gain)
            state = (
                jnp.where(take, new, z),
                jnp.where(take, new_value, value),
                jnp.where(take, new_velocity, -velocity),
                count + 1 + more,
                moved + take,
            )
            return state, None

        steps = directions.shape[0]
        chances = jax.random.uniform(key, (steps,), z.dtype, minval=1e-30)
        first = (z, value_of(z), directions[0], jnp.ones((), jnp.int32), jnp.zeros((), jnp.int32))
        (z, value, _, count, moved), _ = jax.lax.scan(
            step, first, (directions, jnp.arange(steps) % _REDRAW == 0, chances)
        )
        return Walked(z, value, moved / steps), count

    return jax.lax.map(one, (start, directions, keys))


@dataclasses.dataclass
class Rival:
    """A walk with the interface of `walk.Kernel`; on one device."""

    problem: Problem
    proposal: Proposal
    walkers: int
    walks: int
    program: Callable[..., Any]
    cost: int
    counts: list[float] = dataclasses.field(default_factory=list)

    @property
    def calls(self) -> int:
        """Typical number of likelihoods per walker."""
        return self.walks * self.cost

    def acceptance(self, accepted: np.ndarray) -> float:
        """Half of it for Galilean steps, which aim at one half, the sampler at a quarter; slices need no scale."""
        return float(np.mean(accepted)) / 2 if self.program is galilean_walk else walk.ACCEPTANCE

    def run(self, rng: np.random.Generator, start, steps, *, threshold: float, scale: float) -> Walked:
        """See `walk.Kernel.run`."""
        arrays = self.problem.arrays
        dtype, ndim = arrays.shift.dtype, steps.shape[-1]
        if self.program is galilean_walk:
            # The differences of two points have twice the covariance of the points.
            covariance = np.cov(steps.reshape(-1, ndim).T) / 2
            steps = rng.standard_normal(steps.shape) @ np.linalg.cholesky(covariance + 1e-12 * np.eye(ndim)).T
        keys = jax.random.split(jax.random.key(int(rng.integers(2**31))), self.walkers)
        as_array = partial(jnp.asarray, dtype=dtype)
        walked, counts = self.program(
            self.problem.target,
            as_array(start),
            as_array(steps),
            as_array(threshold),
            as_array(scale),
            keys,
            self.proposal,
            arrays,
        )
        self.counts.append(float(np.sum(counts)))
        return Walked(*(np.asarray(a, np.float64) for a in walked))


WALKS: dict[str, tuple[Callable[..., Any] | None, int, tuple[int, ...]]] = {
    # name: program, likelihoods per step about, lengths
    "random": (None, 1, (60, 120)),
    "slice": (slice_walk, 4, (15, 30)),
    "galilean": (galilean_walk, 3, (20, 40)),
}


def run_with(
    name: str, length: int, problem: Problem, mixture: Mixture | None, settings: Nested, seed: int
) -> tuple[Any, float]:
    """A nested run by the named walk, and its evaluations."""
    program, cost, _ = WALKS[name]
    settings = dataclasses.replace(settings, walks=length)
    made: list[Rival] = []
    original = nested.make_kernel

    def rival(problem, proposal, walkers, walks):
        made.append(Rival(problem, proposal, walkers, walks, program, cost))
        return made[0]

    try:
        if program is not None:
            nested.make_kernel = rival
        run = run_nested(problem, mixture, settings, seed)
    finally:
        nested.make_kernel = original
    if not made:
        return run, float(run.calls)
    walked = len(made[0].counts) * settings.walkers * made[0].calls
    return run, run.calls - walked + sum(made[0].counts)


def report(**row: Any) -> None:
    """Prints and keeps a row."""
    print(row, flush=True)
    with RESULTS.open("a") as file:
        file.write(json.dumps(row) + "\n")


def on_known_evidences(seeds: int = 8) -> None:
    """Bias of the log evidence, from the prior, 100 live points."""
    for problem_name in ("correlated_gaussian", "student_arms"):
        known = getattr(analytic, problem_name)(dtype=jnp.float32)
        for name, (_, _, lengths) in WALKS.items():
            for length in lengths:
                runs = [
                    run_with(name, length, known.problem, None, Nested(nlive=100, start="prior"), seed)
                    for seed in range(100, 100 + seeds)
                ]
                off = np.array([r.log_evidence - known.log_evidence for r, _ in runs])
                report(
                    problem=problem_name,
                    walk=name,
                    length=length,
                    bias=round(float(off.mean()), 3),
                    bias_error=round(float(off.std(ddof=1) / np.sqrt(seeds)), 3),
                    reported_error=round(float(np.mean([r.log_evidence_error for r, _ in runs])), 3),
                    evaluations=round(float(np.mean([e for _, e in runs]))),
                )


def on_the_galaxy() -> None:
    """Evidence and effective samples per second of the bundled galaxy, re-partitioned, one device.

    The shorter of each walk's lengths; `evidence.py` doubles that of the winner.
    """
    problem, modes, _ = find_modes(pose(gs.read(gs.mock_galaxy_path())), seed=1)
    mixture = bend(problem, modes, 1).mixture
    for name, (_, _, (length, *_)) in WALKS.items():
        run_with(name, length, problem, mixture, Nested(nlive=40, max_calls=3000), seed=0)  # compiles
        began = time.monotonic()
        run, evaluations = run_with(name, length, problem, mixture, Nested(), seed=1)
        seconds = time.monotonic() - began
        effective = float(1 / np.sum(np.exp(2 * run.log_weights)))
        report(
            problem="bundled galaxy",
            walk=name,
            length=length,
            log_evidence=round(run.log_evidence, 3),
            reported_error=round(run.log_evidence_error, 3),
            evaluations=round(evaluations),
            seconds=round(seconds, 1),
            effective_samples=round(effective),
            effective_samples_per_second=round(effective / seconds, 2),
        )


def from_the_prior(name: str, length: int) -> None:
    """Evidence of the bundled galaxy from the prior, 100 live points; the re-partitioned one is known to 0.1."""
    problem, _, _ = find_modes(pose(gs.read(gs.mock_galaxy_path())), seed=1)
    began = time.monotonic()
    run, evaluations = run_with(name, length, problem, None, Nested(nlive=100, start="prior"), seed=1)
    report(
        problem="bundled galaxy, from the prior",
        walk=name,
        length=length,
        log_evidence=round(run.log_evidence, 3),
        reported_error=round(run.log_evidence_error, 3),
        evaluations=round(evaluations),
        seconds=round(time.monotonic() - began, 1),
    )


if __name__ == "__main__":
    what, *arguments = sys.argv[1:]
    if what == "prior":
        from_the_prior(arguments[0], int(arguments[1]))
    else:
        {"analytic": on_known_evidences, "galaxy": on_the_galaxy}[what]()
