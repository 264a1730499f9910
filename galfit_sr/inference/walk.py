"""Constrained walks: the batched kernel that draws new live points.

The stationary density of a walk is q, the density of the `Proposal`, restricted to where L pi/q exceeds a threshold;
what L pi is divided by is the sum of the q of all runs, where there are several (see `strata`).
Walkers are independent and of fixed length, spread over all devices.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from ..devices import all_devices, divided, each, replicated
from ..errors import InputError
from .problem import Arrays, Problem, Target, log_standard_normal
from .proposal import Proposal, log_density, log_total

_LEAP_EVERY = 10
ACCEPTANCE = 0.25
FIRST_SCALE = 0.4


class Walked(NamedTuple):
    """Where the walkers ended, (w, ...); JAX arrays inside the kernel, NumPy float64 outside.

    Attributes:
        z: (w, ndim) latent positions.
        log_likelihood: (w,) of L pi/q, less the offset of L.
        accepted: (w,) number of accepted steps, leaps not counted.
    """

    z: Any
    log_likelihood: Any
    accepted: Any


class Kernel(NamedTuple):
    """The kernel bound to one galaxy and one proposal.

    Attributes:
        target: static half of the problem.
        mesh: of all devices.
        proposal, arrays: on every device.
        walkers, walks: number of walkers and of steps, the shape of the compiled program.
    """

    target: Target
    mesh: Mesh
    proposal: Proposal
    arrays: Arrays
    walkers: int
    walks: int

    @property
    def calls(self) -> int:
        """Likelihoods per walker."""
        return self.walks + 1

    def acceptance(self, accepted: np.ndarray) -> float:
        """Mean share of the steps, leaps not counted, that were accepted."""
        return float(np.mean(accepted)) / (self.walks - self.walks // _LEAP_EVERY)

    def run(
        self,
        rng: np.random.Generator,
        start: np.ndarray,
        steps: np.ndarray,
        *,
        threshold: float,
        scale: float,
    ) -> Walked:
        """Walks from `start` (w, ndim) with `steps` (w, walks, ndim), see `differences`; float64 results."""
        dtype = self.arrays.shift.dtype
        walked = random_walk(
            self.target,
            self.mesh,
            jnp.asarray(start, dtype),
            jnp.asarray(steps, dtype),
            jnp.asarray(max(threshold, float(jnp.finfo(dtype).min)), dtype),
            jnp.asarray(scale, dtype),
            jax.random.split(jax.random.key(int(rng.integers(2**31))), self.walkers),
            self.proposal,
            self.arrays,
        )
        return Walked(*(np.asarray(a, np.float64) for a in walked))


def make_kernel(problem: Problem, proposal: Proposal, walkers: int, walks: int) -> Kernel:
    """The kernel for a problem, its arrays copied to every device.

    Raises:
        InputError: walkers cannot be spread evenly.
    """
    mesh = all_devices()
    if walkers % mesh.devices.size:
        raise InputError(f"walkers are {walkers}; a multiple of the {mesh.devices.size} devices is needed")
    proposal, arrays = replicated((proposal, problem.arrays), mesh)
    return Kernel(problem.target, mesh, proposal, arrays, walkers, walks)


def differences(rng: np.random.Generator, pool: np.ndarray, *shape: int) -> np.ndarray:
    """(*shape, ndim) steps between random pairs out of a pool (m, ndim)."""
    first = rng.integers(len(pool), size=shape)
    return pool[first] - pool[(first + rng.integers(1, len(pool), size=shape)) % len(pool)]


def steered(scale: float, acceptance: float) -> float:
    """The scale of the steps, moved towards an acceptance of a quarter."""
    return float(np.clip(scale * np.exp(0.5 * (acceptance - ACCEPTANCE) / ACCEPTANCE), 1e-3, 2.0))


def repartitioned_log_likelihood(target: Target, z: jax.Array, proposal: Proposal, arrays: Arrays) -> jax.Array:
    """log(L pi/q) less the offset of L, of one latent vector, q being the sum over all runs."""
    total = log_total(proposal, z, log_density(proposal, z))
    return _repartitioned(target.latent_log_likelihood(z, arrays), z, total)


def _repartitioned(log_likelihood: jax.Array, z: jax.Array, total: jax.Array) -> jax.Array:
    """log(L pi/q) of latent vectors (..., ndim), from log L and log q there, (...,)."""
    return log_likelihood + log_standard_normal(z) - total


@partial(jax.jit, static_argnums=(0, 1))
def random_walk(
    target: Target,
    mesh: Mesh,
    start: jax.Array,
    steps: jax.Array,
    threshold: jax.Array,
    scale: jax.Array,
    keys: jax.Array,
    proposal: Proposal,
    arrays: Arrays,
) -> Walked:
    """Metropolis walks with differential-evolution steps (ter Braak 2006, Stat. Comput. 16, 239).

    Args:
        target: static.
        mesh: of all devices, static.
        start: (w, ndim) live points above the threshold.
        steps: (w, s, ndim) differences of random pairs of live points: steps follow the shape of the live points, and
            between two modes every tenth, taken at full length, leaps from one to the other.
        threshold: scalar, of log(L pi/q) less the offset.
        scale: factor on the steps.
        keys: (w,) PRNG keys.
        proposal, arrays: replicated.
    """

    def walk(batch, threshold, scale, proposal, arrays):
        start, steps, keys = batch

        def step(state, offered):
            z, value, density, accepted = state
            difference, chance, number = offered
            leap = number % _LEAP_EVERY == 0
            new = z + jnp.where(leap, 1.0, scale) * difference
            # The flows of all walkers in one go, as matrix products; likelihoods as the device likes them best.
            new_density = jax.vmap(log_density, (None, 0))(proposal, new)
            likelihood = each(lambda one: target.latent_log_likelihood(one, arrays), mesh, new)
            total = jax.vmap(log_total, (None, 0, 0))(proposal, new, new_density)
            new_value = _repartitioned(likelihood, new, total)
            take = (new_value > threshold) & (jnp.log(chance) < new_density - density) | (number == 0)
            state = (
                jnp.where(take[:, None], new, z),
                jnp.where(take, new_value, value),
                jnp.where(take, new_density, density),
                accepted + (take & ~leap),
            )
            return state, None

        # The first step stays where it starts: so the program holds the likelihood once, and compiles faster.
        walkers, count = steps.shape[:2]
        unknown = jnp.zeros(walkers, start.dtype)
        chances = jax.vmap(lambda key: jax.random.uniform(key, (count,), start.dtype, minval=1e-30))(keys)
        offered = (
            jnp.pad(jnp.swapaxes(steps, 0, 1), ((1, 0), (0, 0), (0, 0))),
            jnp.pad(chances.T, ((1, 0), (0, 0))),
            jnp.arange(count + 1),
        )
        first = (start, unknown, unknown, jnp.zeros(walkers, jnp.int32))
        (z, value, _, accepted), _ = jax.lax.scan(step, first, offered)
        return Walked(z, value, accepted)

    return divided(walk, mesh, (start, steps, keys), threshold, scale, proposal, arrays)
