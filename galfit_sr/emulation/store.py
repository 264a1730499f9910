"""Training pairs on disk: Zarr arrays in shards, each of which counts once the manifest lists it with its checksums."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from ..errors import InputError
from ..maps import MAP_NAMES, Maps
from .manifest import Manifest, Plan, read_manifest
from .pairs import Pairs, check_indices, training_prior

if TYPE_CHECKING:
    import zarr

ARRAYS = "pairs.zarr"
"""The Zarr group inside a store: theta (n, ndim), redshift (n,), low (n, 4, 20, 20) and high (n, 4, 80, 80)."""
MANTISSA_BITS = 16
"""Of the high resolution's maps on disk: they are rounded by at most 2^-17 = 7.6e-6 of their value."""
_CHUNK = 4
"""Pairs whose maps are compressed and read together: a compromise between random batches and whole shards."""


@dataclasses.dataclass(frozen=True, eq=False)
class Store:
    """An open store.

    Attributes:
        folder: where it is.
        manifest: what it holds.
        arrays: those of `ARRAYS`, by name, on disk.
    """

    folder: Path
    manifest: Manifest
    arrays: Mapping[str, zarr.Array]


def open_store(folder: Path) -> Store:
    """Open the store in `folder`, complete or not, for `read_pairs`.

    Raises:
        InputError: there is none, or Zarr is not installed.
    """
    manifest = read_manifest(folder)
    zarr = import_zarr()
    try:
        group = zarr.open_group(str(folder / ARRAYS), mode="r")
        return Store(folder, manifest, {name: group[name] for name in Pairs._fields})
    except (OSError, KeyError, ValueError) as error:
        raise InputError(f"{folder / ARRAYS} is damaged ({error}); make the store anew") from error


def read_pairs(store: Store, indices: np.ndarray) -> Pairs:
    """Some pairs of a store, in the order asked for; a shard is compared with its checksums when it is first used.

    Args:
        store: from `open_store`.
        indices: (m,) whole numbers, at least one. Neighbours are read ten times faster than scattered ones.

    Raises:
        InputError: an index beyond the store, a pair that is not made yet, or a damaged shard.
    """
    plan = store.manifest.plan
    check_indices(indices, plan.total)
    for shard in np.unique(indices // plan.shard_size).tolist():
        if shard not in store.manifest.shards:
            raise InputError(f"shard {shard} of the pairs in {store.folder} is not made yet; make the store complete")
        for file, digest in store.manifest.shards[shard].items():
            _check_once(store.folder, shard, file, digest)
    theta, redshift, low, high = (_rows(store.arrays[name], indices) for name in Pairs._fields)
    return Pairs(theta, redshift, Maps(*np.moveaxis(low, 1, 0)), Maps(*np.moveaxis(high, 1, 0)))


def verify(folder: Path) -> Manifest:
    """Compare every finished shard of the store in `folder` with its checksums.

    Returns:
        its manifest.

    Raises:
        InputError: there is no store, or a shard is missing or not what was written.
    """
    manifest = read_manifest(folder)
    for shard, files in manifest.shards.items():
        for file, digest in files.items():
            _check(folder, shard, file, digest)
    return manifest


def size_on_disk(folder: Path, manifest: Manifest) -> int:
    """Bytes that the finished shards of the store in `folder` take.

    Raises:
        InputError: a shard is missing.
    """
    try:
        return sum((folder / file).stat().st_size for files in manifest.shards.values() for file in files)
    except FileNotFoundError as error:
        raise InputError(
            f"{error.filename} is missing, which the manifest lists; restore it or make the store anew"
        ) from error


def import_zarr() -> ModuleType:
    """The Zarr package, an optional dependency.

    Raises:
        InputError: it is not installed.
    """
    try:
        import zarr
    except ImportError as error:
        raise InputError(f"training pairs are kept with Zarr ({error}); pip install 'galfit-sr[dataset]'") from error
    return zarr


def shapes(plan: Plan) -> dict[str, tuple[int, ...]]:
    """Shape of one pair in each array."""
    low, high = ((len(MAP_NAMES), canvas.size, canvas.size) for canvas in (plan.recipe.low, plan.recipe.high))
    return {"theta": (training_prior(plan.recipe.components).ndim,), "redshift": (), "low": low, "high": high}


def create_arrays(folder: Path, plan: Plan) -> None:
    """Empty arrays for a plan's pairs, in place of whatever arrays the folder holds.

    Raises:
        OSError: they cannot be written.
    """
    zarr = import_zarr()
    from zarr.codecs import BloscCodec

    together = max(size for size in range(1, _CHUNK + 1) if plan.shard_size % size == 0)
    group = zarr.create_group(str(folder / ARRAYS), overwrite=True)
    for name, shape in shapes(plan).items():
        group.create_array(
            name,
            shape=(plan.total, *shape),
            dtype="float32",
            # Chunks take time, one by one, and the numbers beside the maps are few.
            chunks=(together if len(shape) == 3 else plan.shard_size, *shape),
            shards=(plan.shard_size, *shape),
            compressors=BloscCodec(cname="zstd", clevel=1, shuffle="bitshuffle"),
        )


def write_pairs(folder: Path, plan: Plan, shard: int, pairs: Pairs) -> dict[str, str]:
    """Write a shard; when this returns it is on the disk, not only in the system's buffers.

    Args:
        folder: of the store.
        plan: of the store.
        shard: its number.
        pairs: its content.

    Returns:
        {file, relative to the folder: its SHA-256}.

    Raises:
        OSError: it cannot be written; nothing of the shard is left.
    """
    group = import_zarr().open_group(str(folder / ARRAYS), mode="r+")
    content = {
        "theta": pairs.theta,
        "redshift": pairs.redshift,
        "low": np.stack(pairs.low, axis=1),
        "high": _rounded(np.stack(pairs.high, axis=1)),
    }
    # Zarr's default names: the array, "c", and the position of the shard along each axis.
    files = {name: f"{ARRAYS}/{name}/c/{shard}" + "/0" * (values.ndim - 1) for name, values in content.items()}
    rows = plan.indices(shard)
    try:
        for name, values in content.items():
            # What a killed run left must not be read to fill up a last shard.
            (folder / files[name]).unlink(missing_ok=True)
            group[name][rows[0] : rows[-1] + 1] = values
        return {file: _digest(folder / file, flush=True) for file in files.values()}
    except OSError:
        for file in files.values():
            (folder / file).unlink(missing_ok=True)
        raise


def _rows(array: zarr.Array, indices: np.ndarray) -> np.ndarray:
    # By runs of neighbours: Zarr takes fifty times longer for these when it is given their indices.
    rows, place = np.unique(indices, return_inverse=True)
    runs = np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1)
    return np.concatenate([np.asarray(array[run[0] : run[-1] + 1]) for run in runs])[place]


def _rounded(values: np.ndarray) -> np.ndarray:
    """float32 numbers to the nearest with `MANTISSA_BITS` bits: the others are noise that cannot be compressed."""
    dropped = 23 - MANTISSA_BITS
    half, kept = np.uint32(1 << (dropped - 1)), np.uint32(0xFFFFFFFF >> dropped << dropped)
    return ((values.view(np.uint32) + half) & kept).view(np.float32)


def _digest(path: Path, flush: bool = False) -> str:
    with open(path, "rb") as file:
        if flush:
            os.fsync(file.fileno())
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check(folder: Path, shard: int, file: str, digest: str) -> None:
    try:
        found = _digest(folder / file)
    except OSError as error:
        raise InputError(f"shard {shard} of the pairs in {folder} cannot be read: {file}: {error.strerror}") from error
    if found != digest:
        raise InputError(
            f"shard {shard} of the pairs in {folder} is damaged: {file} is not what was written; restore it, or make"
            " the store anew"
        )


_check_once = cache(_check)
