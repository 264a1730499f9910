"""How a store of training pairs is made, shard by shard; one that was stopped goes on with the first missing one."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from ..errors import InputError
from ..files import write_failure
from ..progress import Progress
from .manifest import MANIFEST, Manifest, Plan, package_version, read_manifest, write_manifest
from .pairs import BATCH, Pairs, galaxies, make_pairs
from .store import ARRAYS, create_arrays, import_zarr, shapes, size_on_disk, write_pairs

_EXPECTED_SHARE = 0.46
"""Of their size in memory that pairs take on disk, as long as no shard of the store tells; measured: 0.454."""


class Made(NamedTuple):
    """What a call of `make_store` did.

    Attributes:
        manifest: of the complete store.
        pairs: made by this call; the others were there.
        seconds: that they took.
    """

    manifest: Manifest
    pairs: int
    seconds: float


def make_store(folder: Path, plan: Plan, progress: Progress) -> Made:
    """Make those pairs of a plan that a folder does not hold yet.

    Args:
        folder: new, empty, or with a part of this very store.
        plan: what to make.
        progress: called with stage, fraction done and a few words.

    Raises:
        InputError: the folder holds something else or cannot be written, the disk is too small or becomes full, Zarr
            is not installed, or the maps cannot be computed. Finished shards stay, and another call goes on.
    """
    import_zarr()
    plan.recipe.high_scene(plan.recipe.redshift[0])  # refuses point spread functions before anything is written
    manifest = _held(folder, plan)
    _check_space(folder, manifest)
    # In a thread of its own, so that an interrupt waits until what Zarr is writing is written.
    with ThreadPoolExecutor(1) as disk:
        if not manifest.shards:
            disk.submit(_begin, folder, manifest).result()
        _remove_leftovers(folder)
        already, began = manifest.pairs, time.monotonic()
        for shard, pairs in _computed(plan, [k for k in range(plan.shards) if k not in manifest.shards]):
            first = not manifest.shards
            manifest = disk.submit(_add, folder, manifest, shard, pairs).result()
            if first:
                _check_space(folder, manifest)
            made = manifest.pairs - already
            words = f"{manifest.pairs} of {plan.total}, {made / (time.monotonic() - began):.0f} per second"
            progress("training pairs", made / (plan.total - already), words)
    return Made(manifest, manifest.pairs - already, time.monotonic() - began)


def _computed(plan: Plan, shards: list[int]) -> Iterator[tuple[int, Pairs]]:
    """Shards and their pairs; the next one is computed while the caller writes, which leaves most of the cores idle."""

    def compute(shard: int) -> Pairs:
        theta, redshift = galaxies(plan.recipe, plan.indices(shard), plan.total)
        return make_pairs(plan.recipe, theta, redshift, batch=min(BATCH, plan.shard_size))

    with ThreadPoolExecutor(1) as thread:
        ahead = [thread.submit(compute, shard) for shard in shards[:1]]
        for i, shard in enumerate(shards):
            pairs = ahead.pop().result()
            ahead += [thread.submit(compute, following) for following in shards[i + 1 : i + 2]]
            yield shard, pairs


def _held(folder: Path, plan: Plan) -> Manifest:
    """What a folder holds of a plan, which may be nothing."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; a folder for training pairs is needed")
    if not (folder / MANIFEST).exists():
        # A run that was killed at once may have left the beginning of its manifest.
        if folder.exists() and any(not path.name.startswith(f".{MANIFEST}.") for path in folder.iterdir()):
            raise InputError(f"{folder} holds something that is not a store of training pairs; choose another folder")
        return Manifest(plan, package_version(), {})
    manifest = read_manifest(folder)
    different = plan.differences(manifest.plan)
    if different:
        raise InputError(f"{folder} holds other pairs, with other {', '.join(different)}; choose another folder")
    if manifest.version != package_version():
        raise InputError(
            f"the pairs in {folder} are of galfit_sr {manifest.version} and this is {package_version()}; go on with"
            " that version or choose another folder"
        )
    return manifest


def _check_space(folder: Path, manifest: Manifest) -> None:
    """Raises InputError if the missing pairs will not fit on the disk."""
    missing = manifest.plan.total - manifest.pairs
    if manifest.shards:
        each = size_on_disk(folder, manifest) / manifest.pairs
    else:
        each = _EXPECTED_SHARE * sum(4 * math.prod(shape) for shape in shapes(manifest.plan).values())
    existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(existing).free
    if missing * each > free:
        raise InputError(
            f"{missing} pairs need about {missing * each / 1e9:.3g} GB and {existing} has {free / 1e9:.3g} GB free;"
            " make room, choose another folder or make fewer"
        )


def _begin(folder: Path, manifest: Manifest) -> None:
    """Claim the folder with a manifest, and make empty arrays."""
    write_manifest(folder, manifest)
    try:
        create_arrays(folder, manifest.plan)
    except OSError as error:
        raise InputError(write_failure(folder / ARRAYS, error)) from error


def _remove_leftovers(folder: Path) -> None:
    """Temporary files of a run that was killed: ours and Zarr's."""
    for leftover in (*folder.glob(f".{MANIFEST}.*.part"), *(folder / ARRAYS).rglob("*.partial")):
        leftover.unlink(missing_ok=True)


def _add(folder: Path, manifest: Manifest, shard: int, pairs: Pairs) -> Manifest:
    """The manifest with one more shard, both on disk."""
    try:
        files = write_pairs(folder, manifest.plan, shard, pairs)
        more = manifest._replace(shards={**manifest.shards, shard: files})
        write_manifest(folder, more)
    except (OSError, InputError) as error:
        sentence = write_failure(folder, error) if isinstance(error, OSError) else error
        raise InputError(
            f"{sentence}; the {manifest.pairs} pairs made so far stay, the same command goes on"
        ) from error
    return more
