"""Independent rows of work, spread over all devices that JAX shows, and with how many bits these multiply."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, TypeVar

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

_Tree = TypeVar("_Tree")


def full_precision() -> AbstractContextManager[None]:
    """Within it, matrix products and convolutions keep all bits; accelerators multiply with ten of them otherwise."""
    return jax.default_matmul_precision("highest")


def all_devices() -> Mesh:
    """All devices, in a row."""
    return Mesh(np.array(jax.devices()), ("rows",))


def devices_for(rows: int) -> Mesh:
    """As many devices as can share this number of rows evenly."""
    return Mesh(np.array(jax.devices()[: math.gcd(rows, jax.device_count())]), ("rows",))


def replicated(tree: _Tree, mesh: Mesh) -> _Tree:
    """The arrays of a tree, copied to every device once instead of at every call."""
    return jax.device_put(tree, NamedSharding(mesh, PartitionSpec()))


def spread(function: Callable[..., Any], mesh: Mesh, batch: Any, *shared: Any) -> Any:
    """Applies `function(row, *shared)` to every row of `batch`, under jit.

    Args:
        function: pure, of one row.
        mesh: devices, whose number divides that of the rows.
        batch: tree of arrays with the rows along the leading axis.
        shared: trees that every row needs.
    """

    def on_one_device(batch: Any, *shared: Any) -> Any:
        return each(lambda row: function(row, *shared), mesh, batch)

    return divided(on_one_device, mesh, batch, *shared)


def divided(function: Callable[..., Any], mesh: Mesh, batch: Any, *shared: Any) -> Any:
    """Applies `function(rows, *shared)` on every device to its share of the rows; arguments as of `spread`."""
    split, whole = PartitionSpec("rows"), PartitionSpec()
    specs = (split, *[whole] * len(shared))
    return jax.shard_map(function, mesh=mesh, in_specs=specs, out_specs=split, check_vma=False)(batch, *shared)


def each(function: Callable[..., Any], mesh: Mesh, rows: Any) -> Any:
    """Applies `function(row)` to the rows that a device has.

    On a CPU one after the other, which small caches like better; elsewhere all at once.
    """
    if mesh.devices.flat[0].platform == "cpu":
        return jax.lax.map(function, rows)
    return jax.vmap(function)(rows)
