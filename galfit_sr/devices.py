"""Independent rows of work, spread over all devices that JAX shows."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

_Tree = TypeVar("_Tree")


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

    On a CPU each device takes its rows one after the other, which small caches like better; elsewhere all at once.

    Args:
        function: pure, of one row.
        mesh: devices, whose number divides that of the rows.
        batch: tree of arrays with the rows along the leading axis.
        shared: trees that every row needs.
    """
    at_once = mesh.devices.flat[0].platform != "cpu"

    def on_one_device(batch: Any, *shared: Any) -> Any:
        def one(row: Any) -> Any:
            return function(row, *shared)

        return jax.vmap(one)(batch) if at_once else jax.lax.map(one, batch)

    split, whole = PartitionSpec("rows"), PartitionSpec()
    specs = (split, *[whole] * len(shared))
    return jax.shard_map(on_one_device, mesh=mesh, in_specs=specs, out_specs=split, check_vma=False)(batch, *shared)
