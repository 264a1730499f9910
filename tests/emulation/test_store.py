"""Stores of training pairs: what is written is read, whatever stops the making loses nothing, damage is found."""

import dataclasses
import errno
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import zarr

from galfit_sr.emulation import making
from galfit_sr.emulation.making import make_store
from galfit_sr.emulation.manifest import MANIFEST, Plan, read_manifest, write_manifest
from galfit_sr.emulation.pairs import galaxies, make_pairs, training_prior
from galfit_sr.emulation.recipe import Recipe
from galfit_sr.emulation.store import ARRAYS, open_store, read_pairs, size_on_disk, verify
from galfit_sr.errors import InputError
from galfit_sr.maps import MAP_NAMES
from galfit_sr.model.grid import Canvas
from galfit_sr.parameters import COMPONENT_NAMES
from galfit_sr.psf import GaussianPSF

RECIPE = Recipe(redshift=(0.02, 0.05), fidelity="point", low=Canvas(4, 10.0), high=Canvas(16, 2.5))
PLAN = Plan(RECIPE, 20, 4, shard_size=8)
"""Three shards; the last holds four pairs."""


def silent(*_):
    pass


class Stopped(Exception):
    """What `stopping` ends a run with."""


def stopping(shards):
    """A progress that ends the run after so many shards."""
    calls = []

    def progress(*call):
        calls.append(call)
        if len(calls) == shards:
            raise Stopped

    return progress


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A complete store; tests leave it as it is."""
    folder = tmp_path_factory.mktemp("finished") / "pairs"
    make_store(folder, PLAN, silent)
    return folder


@pytest.fixture
def copied(finished, tmp_path):
    """A copy that a test may damage."""
    return Path(shutil.copytree(finished, tmp_path / "pairs"))


@pytest.fixture
def begun(tmp_path):
    """A store that was stopped after its first shard."""
    with pytest.raises(Stopped):
        make_store(tmp_path / "pairs", PLAN, stopping(1))
    return tmp_path / "pairs"


def contents(folder):
    """Every file of a store, with its bytes and time."""
    return {
        str(p.relative_to(folder)): (p.read_bytes(), p.stat().st_mtime_ns) for p in folder.rglob("*") if p.is_file()
    }


def same_bytes(one, other):
    """Whether two stores hold the same files."""
    return {name: content for name, (content, _) in contents(one).items()} == {
        name: content for name, (content, _) in contents(other).items()
    }


class TestContent:
    """A complete store."""

    def test_pairs_are_what_was_computed(self, finished):
        read = read_pairs(open_store(finished), np.arange(PLAN.total))
        theta, redshift = galaxies(RECIPE, np.arange(PLAN.total), PLAN.total)
        computed = make_pairs(RECIPE, theta, redshift, batch=8)
        np.testing.assert_array_equal(read.theta, theta)
        np.testing.assert_array_equal(read.redshift, redshift)
        np.testing.assert_array_equal(read.low, computed.low)
        np.testing.assert_allclose(read.high, computed.high, rtol=7.7e-6, atol=0)
        assert {a.dtype for a in (read.theta, read.redshift, *read.low, *read.high)} == {np.dtype(np.float32)}

    def test_any_order(self, finished):
        store = open_store(finished)
        every, indices = read_pairs(store, np.arange(PLAN.total)), np.array([19, 3, 11, 3, 0])
        some = read_pairs(store, indices)
        np.testing.assert_array_equal(some.theta, every.theta[indices])
        np.testing.assert_array_equal(some.redshift, every.redshift[indices])
        for maps, expected in zip((*some.low, *some.high), (*every.low, *every.high), strict=True):
            np.testing.assert_array_equal(maps, expected[indices])

    def test_zarr_alone_reads_it(self, finished):
        group = zarr.open_group(str(finished / ARRAYS), mode="r")
        assert {name: array.shape for name, array in group.arrays()} == {
            "theta": (20, 18),
            "redshift": (20,),
            "low": (20, 4, 4, 4),
            "high": (20, 4, 16, 16),
        }
        assert group.metadata.zarr_format == 3

    def test_manifest(self, finished):
        table = json.loads((finished / MANIFEST).read_text())
        assert (table["total"], table["validation"]) == (20, 4)
        assert table["recipe"] == json.loads(json.dumps(RECIPE.table()))
        assert tuple(p["name"] for p in table["parameters"]) == training_prior(COMPONENT_NAMES).names
        assert [m["name"] for m in table["maps"]] == list(MAP_NAMES)
        assert read_manifest(finished).plan == PLAN
        assert set(table["shards"]) == {"0", "1", "2"}
        assert sorted(f for files in table["shards"].values() for f in files) == sorted(
            name for name in contents(finished) if name.startswith(f"{ARRAYS}/") and "/c/" in name
        )
        assert size_on_disk(finished, read_manifest(finished)) < 20 * 4 * (18 + 1 + 4 * 16 + 4 * 256)

    def test_progress(self, tmp_path):
        calls = []
        made = make_store(tmp_path / "pairs", PLAN, lambda *call: calls.append(call))
        assert [fraction for _, fraction, _ in calls] == [8 / 20, 16 / 20, 1.0]
        assert "16 of 20" in calls[1][2]
        assert made.pairs == 20

    def test_an_index_beyond_the_store(self, finished):
        with pytest.raises(InputError, match="pair 20 is not one of 20"):
            read_pairs(open_store(finished), np.array([1, 20]))


class TestGoingOn:
    """Stores that were stopped."""

    def test_a_stopped_store_goes_on(self, begun, finished):
        assert set(read_manifest(begun).shards) == {0}
        before = contents(begun)
        calls = []
        made = make_store(begun, PLAN, lambda *call: calls.append(call))
        assert made.pairs == 12
        assert [fraction for _, fraction, _ in calls] == [8 / 12, 1.0]
        assert same_bytes(begun, finished)
        after = contents(begun)
        assert all(after[name] == content for name, content in before.items() if name != MANIFEST)

    def test_a_finished_store_is_left_alone(self, finished, monkeypatch):
        before = contents(finished)
        monkeypatch.setattr(making, "make_pairs", None)
        assert make_store(finished, PLAN, silent).pairs == 0
        assert contents(finished) == before

    def test_an_interrupt_waits_for_what_is_being_written(self, begun, finished, monkeypatch):
        write_pairs = making.write_pairs

        def interrupted(*arguments):
            time.sleep(0.1)  # by then the caller waits
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.3)
            return write_pairs(*arguments)

        monkeypatch.setattr(making, "write_pairs", interrupted)
        with pytest.raises(KeyboardInterrupt):
            make_store(begun, PLAN, silent)
        assert set(read_manifest(begun).shards) == {0, 1}
        assert verify(begun).pairs == 16
        monkeypatch.undo()
        make_store(begun, PLAN, silent)
        assert same_bytes(begun, finished)

    def test_half_a_shard_is_made_again(self, begun, finished):
        for name, shard in (("low", 1), ("high", 2)):
            path = begun / ARRAYS / name / "c" / str(shard) / "0" / "0" / "0"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"half")
            path.with_suffix(".1234.partial").write_bytes(b"less than half")
        (begun / f".{MANIFEST}.1234.part").write_text("{")
        make_store(begun, PLAN, silent)
        assert same_bytes(begun, finished)

    def test_killed_before_the_first_shard(self, tmp_path, finished):
        folder = tmp_path / "pairs"
        folder.mkdir()
        (folder / f".{MANIFEST}.1234.part").write_text("{")
        make_store(folder, PLAN, silent)
        assert same_bytes(folder, finished)
        for path in (folder / ARRAYS).rglob("*"):
            if path.is_file():
                path.write_bytes(b"")
        write_manifest(folder, read_manifest(folder)._replace(shards={}))
        make_store(folder, PLAN, silent)
        assert same_bytes(folder, finished)

    def test_kill(self, tmp_path, finished):
        """A process that cannot clean up after itself, killed at any moment."""
        plan, folder = dataclasses.replace(PLAN, total=200, shard_size=2), tmp_path / "pairs"
        code = (
            f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import test_store as t\n"
            "from pathlib import Path; import dataclasses\n"
            "plan = dataclasses.replace(t.PLAN, total=200, shard_size=2)\n"
            "t.make_store(Path(sys.argv[1]), plan, lambda *_: print('shard', flush=True))\n"
        )
        environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
        process = subprocess.Popen([sys.executable, "-c", code, folder], stdout=subprocess.PIPE, env=environment)
        for _ in range(3):
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
        listed = read_manifest(folder).shards
        assert 3 <= len(listed) < 100
        verify(folder)
        before = contents(folder)
        made = make_store(folder, plan, silent)
        assert made.pairs == 200 - 2 * len(listed)
        after = contents(folder)
        assert all(after[file] == before[file] for files in listed.values() for file in files)
        assert len(verify(folder).shards) == 100
        assert not [name for name in after if name.endswith((".part", ".partial"))]

    def test_what_is_not_made_cannot_be_read(self, begun):
        store = open_store(begun)
        assert len(read_pairs(store, np.array([7])).theta) == 1
        with pytest.raises(InputError, match=r"shard 1 of the pairs in .* is not made yet"):
            read_pairs(store, np.array([7, 8]))


class TestDamage:
    """Checksums."""

    @pytest.mark.parametrize("name", ["theta", "high"])
    def test_a_changed_shard(self, copied, name):
        path = copied / next(file for file in read_manifest(copied).shards[1] if f"/{name}/" in file)
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
        with pytest.raises(InputError, match=rf"shard 1 of the pairs in .* is damaged: {ARRAYS}/{name}/c/1"):
            verify(copied)
        store = open_store(copied)
        assert len(read_pairs(store, np.array([0, 17])).theta) == 2
        with pytest.raises(InputError, match=r"shard 1 of the pairs in .* is damaged"):
            read_pairs(store, np.array([0, 9]))

    def test_a_missing_shard(self, copied):
        (copied / ARRAYS / "low" / "c" / "2" / "0" / "0" / "0").unlink()
        with pytest.raises(InputError, match=r"shard 2 of the pairs in .* cannot be read"):
            verify(copied)
        with pytest.raises(InputError, match=r"low/c/2/0/0/0 is missing, which the manifest lists"):
            make_store(copied, PLAN, silent)

    def test_an_intact_store(self, finished):
        assert verify(finished).plan == PLAN

    def test_damaged_arrays(self, copied):
        shutil.rmtree(copied / ARRAYS / "high")
        with pytest.raises(InputError, match="is damaged"):
            open_store(copied)

    @pytest.mark.parametrize(
        ("text", "sentence"),
        [
            ("{", "cannot be read"),
            ("[]", "is not the manifest of a store of training pairs"),
            ('{"format": "something else"}', "is not the manifest of a store of training pairs"),
        ],
    )
    def test_damaged_manifest(self, copied, text, sentence):
        (copied / MANIFEST).write_text(text)
        for use in (open_store, lambda folder: make_store(folder, PLAN, silent)):
            with pytest.raises(InputError, match=sentence):
                use(copied)
        assert (copied / MANIFEST).read_text() == text

    def test_no_store(self, tmp_path):
        with pytest.raises(InputError, match="is not a store of training pairs"):
            open_store(tmp_path)

    def test_other_parameters(self, copied):
        table = json.loads((copied / MANIFEST).read_text())
        table["parameters"][0]["name"] = "x_centre"
        (copied / MANIFEST).write_text(json.dumps(table))
        with pytest.raises(InputError, match="have the parameters x_centre, y0"):
            open_store(copied)


class TestRefusals:
    """Nothing is written, and nothing is lost, when a folder or a plan is refused."""

    @pytest.mark.parametrize(
        ("plan", "names"),
        [
            (dataclasses.replace(PLAN, total=21), "total"),
            (dataclasses.replace(PLAN, validation=5, shard_size=4), "validation, shard_size"),
            (dataclasses.replace(PLAN, recipe=dataclasses.replace(RECIPE, seed=1, draws="prior")), "draws, seed"),
        ],
    )
    def test_store_of_another_plan(self, finished, plan, names):
        before = contents(finished)
        with pytest.raises(InputError, match=f"holds other pairs, with other {names}; choose another folder"):
            make_store(finished, plan, silent)
        assert contents(finished) == before

    def test_store_of_another_version(self, begun, monkeypatch):
        monkeypatch.setattr(making, "package_version", lambda: "99.0")
        with pytest.raises(InputError, match=r"are of galfit_sr .* and this is 99\.0"):
            make_store(begun, PLAN, silent)

    def test_folder_of_something_else(self, tmp_path):
        (tmp_path / "chapter1.tex").write_text("")
        with pytest.raises(InputError, match="holds something that is not a store of training pairs"):
            make_store(tmp_path, PLAN, silent)
        assert [p.name for p in tmp_path.iterdir()] == ["chapter1.tex"]

    def test_file(self, tmp_path):
        (tmp_path / "taken").write_text("")
        with pytest.raises(InputError, match="taken is a file"):
            make_store(tmp_path / "taken", PLAN, silent)
        with pytest.raises(InputError, match=r"cannot write .*; a writable folder is needed"):
            make_store(tmp_path / "taken" / "below", PLAN, silent)

    def test_narrow_psf(self, tmp_path):
        recipe = dataclasses.replace(RECIPE, fidelity="pixel", psf_photometry=GaussianPSF(0.1))
        with pytest.raises(InputError, match="too narrow"):
            make_store(tmp_path / "pairs", Plan(recipe, 20, 4), silent)
        assert not list(tmp_path.iterdir())

    def test_no_zarr(self, tmp_path, monkeypatch):
        monkeypatch.setitem(sys.modules, "zarr", None)
        with pytest.raises(InputError, match=r"pip install 'galfit-sr\[dataset\]'"):
            make_store(tmp_path / "pairs", PLAN, silent)
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize(
        ("total", "validation", "shard_size", "sentence"),
        [
            (1, 1, 8, "the number of pairs is 1; at least 2 are needed"),
            (20, 0, 8, "0 of 20 pairs are for validation; 1 to 19 are allowed"),
            (20, 20, 8, "20 of 20 pairs are for validation; 1 to 19 are allowed"),
            (20, 4, 0, "the shard size is 0"),
        ],
    )
    def test_numbers(self, total, validation, shard_size, sentence):
        with pytest.raises(InputError, match=sentence):
            Plan(RECIPE, total, validation, shard_size)


class TestDisk:
    """Disks that are too small or become full."""

    def test_too_small_at_the_start(self, tmp_path, monkeypatch):
        monkeypatch.setattr(making.shutil, "disk_usage", lambda path: SimpleNamespace(free=3e4))
        with pytest.raises(InputError, match=r"20 pairs need about 4\.07e-05 GB and .* has 3e-05 GB free"):
            make_store(tmp_path / "pairs", PLAN, silent)
        assert not list(tmp_path.iterdir())

    def test_too_small_by_the_first_shard(self, tmp_path, monkeypatch, finished):
        free = iter([1e9, 1e4])
        monkeypatch.setattr(making.shutil, "disk_usage", lambda path: SimpleNamespace(free=next(free)))
        with pytest.raises(InputError, match=r"12 pairs need about .* GB free"):
            make_store(tmp_path / "pairs", PLAN, silent)
        monkeypatch.undo()
        assert set(verify(tmp_path / "pairs").shards) == {0}
        make_store(tmp_path / "pairs", PLAN, silent)
        assert same_bytes(tmp_path / "pairs", finished)

    def test_file_that_cannot_grow(self, begun, finished):
        # A limit on the size of files fails in the same call, write(), as a disk that has no room left.
        before = contents(begun)
        limit = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (8192, limit[1]))
        try:
            with pytest.raises(
                InputError, match=r"cannot write .*; the 8 pairs made so far stay, the same command goes"
            ):
                make_store(begun, PLAN, silent)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        assert contents(begun) == before
        make_store(begun, PLAN, silent)
        assert same_bytes(begun, finished)

    def test_full_disk(self, begun, finished, monkeypatch):
        def full(*_):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(making, "write_pairs", full)
        with pytest.raises(InputError, match=r"the disk .* is full; .*; the 8 pairs made so far stay"):
            make_store(begun, PLAN, silent)
        monkeypatch.undo()
        make_store(begun, PLAN, silent)
        assert same_bytes(begun, finished)
