"""Constrained walks: the batched kernel that draws new live points.

A walk has the density q of the `Proposal` as its stationary distribution, restricted to where L pi/q exceeds the
threshold of the nested sampler. Walkers are independent and of fixed length, spread over all devices; on a CPU each
device takes its walkers one after the other, elsewhere all at once.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from .problem import Arrays, Target, log_standard_normal
from .proposal import Proposal, log_density

_LEAP_EVERY = 10


class Walked(NamedTuple):
    """Where the walkers ended, (w, ...).

    Attributes:
        z: (w, ndim) latent positions.
        log_likelihood: (w,) of L pi/q, less the offset of L.
        accepted: (w,) number of accepted steps.
    """

    z: jax.Array
    log_likelihood: jax.Array
    accepted: jax.Array


def walkers_mesh() -> Mesh:
    """All devices that JAX shows, in a row."""
    return Mesh(np.array(jax.devices()), ("walkers",))


def replicated(tree, mesh: Mesh):
    """The arrays of a tree, copied to every device once instead of at every call."""
    return jax.device_put(tree, NamedSharding(mesh, PartitionSpec()))


def repartitioned_log_likelihood(target: Target, z: jax.Array, proposal: Proposal, arrays: Arrays) -> jax.Array:
    """log(L pi/q) less the offset of L, of one latent vector."""
    return target.latent_log_likelihood(z, arrays) + log_standard_normal(z) - log_density(proposal, z)


def each(function, batch, *, at_once: bool):
    """Applies `function` along the leading axis: vectorised, or one by one (faster where caches are small)."""
    return jax.vmap(function)(batch) if at_once else jax.lax.map(function, batch)


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
        mesh: of `walkers_mesh`, static.
        start: (w, ndim) live points above the threshold.
        steps: (w, s, ndim) differences of random pairs of live points: steps follow the shape of the live points, and
            between two modes every tenth, taken at full length, leaps from one to the other.
        threshold: scalar, of log(L pi/q) less the offset.
        scale: factor on the steps.
        keys: (w,) PRNG keys.
        proposal, arrays: replicated.
    """
    at_once = mesh.devices.flat[0].platform != "cpu"

    def walk(batch, threshold, scale, proposal, arrays):
        start, steps, key = batch

        def step(state, offered):
            z, value, density, accepted = state
            difference, chance, number = offered
            length = jnp.where(number % _LEAP_EVERY == _LEAP_EVERY - 1, 1.0, scale)
            new = z + length * difference
            new_density = log_density(proposal, new)
            new_value = repartitioned_log_likelihood(target, new, proposal, arrays)
            take = (new_value > threshold) & (jnp.log(chance) < new_density - density)
            state = (
                jnp.where(take, new, z),
                jnp.where(take, new_value, value),
                jnp.where(take, new_density, density),
                accepted + (take & (length == scale)),
            )
            return state, None

        first = (start, threshold, log_density(proposal, start), jnp.zeros((), jnp.int32))
        count = steps.shape[0]
        chances = jax.random.uniform(key, (count,), start.dtype, minval=1e-30)
        (z, value, _, accepted), _ = jax.lax.scan(step, first, (steps, chances, jnp.arange(count)))
        # A walk that never moved still stands on a live point, whose value the scan does not know.
        value = jnp.where(accepted > 0, value, repartitioned_log_likelihood(target, z, proposal, arrays))
        return Walked(z, value, accepted)

    def shard(batch, *shared):
        return each(lambda one: walk(one, *shared), batch, at_once=at_once)

    split, whole = PartitionSpec("walkers"), PartitionSpec()
    spread = jax.shard_map(shard, mesh=mesh, in_specs=(split, *[whole] * 4), out_specs=split, check_vma=False)
    return spread((start, steps, keys), threshold, scale, proposal, arrays)
