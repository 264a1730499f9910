"""Dask's workers: on this machine, at a scheduler's address, or as jobs of a batch system."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import importlib.util
import logging
import os
import re
import shutil
import warnings
from collections.abc import Iterator, Mapping
from importlib import metadata
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..numeric import check_whole
from ..processes import cores_here
from ..toml import parse

QUEUES = {"slurm": "SLURMCluster", "pbs": "PBSCluster", "local": "LocalCluster"}
"""Batch systems, and dask-jobqueue's class for each; `local` starts job scripts on this machine, for trials."""
PATIENCE = 10.0
"""Seconds for a scheduler to answer."""
_QUIET = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)"
"""Ctrl-C reaches every process of a terminal; the one that was started ends the others."""


@dataclasses.dataclass(frozen=True)
class Local:
    """Workers on this machine.

    Attributes:
        workers: how many; None for one per GPU, or without GPUs one per core.
    """

    workers: int | None = None

    def __post_init__(self) -> None:
        if self.workers is None:
            return
        check_whole(self, workers=1)

    @property
    def number(self) -> int:
        """Of workers."""
        return self.workers or gpus() or cores_here()


@dataclasses.dataclass(frozen=True)
class Address:
    """Workers of a scheduler that runs already; each must have one thread (`dask worker ADDRESS --nthreads 1`).

    Attributes:
        scheduler: for instance `tcp://10.0.0.1:8786`.
    """

    scheduler: str


@dataclasses.dataclass(frozen=True)
class Queue:
    """Workers as jobs of a batch system.

    Attributes:
        kind: key of `QUEUES`.
        jobs: how many are kept running.
        options: of dask-jobqueue's cluster; `processes` is the number of workers in a job.
    """

    kind: str
    jobs: int
    options: Mapping[str, Any]

    def __post_init__(self) -> None:
        check_whole(self, jobs=1)
        processes = self.options.get("processes", 1)
        if self.options.get("cores", processes) != processes:
            raise InputError(
                f"cores = {self.options['cores']} and processes = {processes}; as many are needed, since a worker fits"
                " one galaxy at a time (`job_cpu` reserves more cores for it)"
            )

    @classmethod
    def read(cls, kind: str, path: Path) -> Queue:
        """From a TOML file with `jobs` and dask-jobqueue's options.

        Raises:
            InputError: it cannot be read, or says what is not allowed.
        """
        try:
            table = parse(path.read_bytes(), str(path))
        except OSError as error:
            raise InputError(f"{path} cannot be read: {error.strerror}") from error
        if "jobs" not in table:
            raise InputError(f"{path} has no 'jobs'; the number of jobs to keep running is needed")
        return cls(kind, table.pop("jobs"), table)

    @property
    def processes(self) -> int:
        """Workers in a job."""
        return self.options.get("processes", 1)

    def start(self) -> Any:
        """dask-jobqueue's cluster, which has no job yet.

        Raises:
            InputError: dask-jobqueue is not installed, or refuses an option.
        """
        jobqueue = _imported(f"dask_jobqueue.{self.kind}")
        # The batch system sees to the memory; Dask would stop giving galaxies to workers that have filled theirs.
        extra = [*self.options.get("worker_extra_args", ()), "--memory-limit", "0"]
        options = {
            "cores": self.processes,
            "processes": self.processes,
            **self.options,
            "worker_extra_args": extra,
            "scheduler_options": {"dashboard_address": ":0", **self.options.get("scheduler_options", {})},
        }
        try:
            return getattr(jobqueue, QUEUES[self.kind])(**options)
        except (TypeError, ValueError) as error:
            raise InputError(f"dask-jobqueue refuses the options of the {self.kind} jobs: {error}") from error


Engine = Local | Address | Queue


def engine_of(
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    slurm: str | Path | None = None,
    pbs: str | Path | None = None,
) -> Engine:
    """The engine that is chosen; arguments as for `survey`, of which one may be given.

    Raises:
        InputError: more than one is given, or it cannot be used.
    """
    choices = {"workers": workers, "scheduler": scheduler, "slurm": slurm, "pbs": pbs}
    chosen = [name for name, value in choices.items() if value is not None]
    if len(chosen) > 1:
        raise InputError(f"{' and '.join(chosen)} exclude each other; choose one")
    if scheduler is not None:
        return Address(scheduler)
    if slurm is not None:
        return Queue.read("slurm", Path(slurm))
    if pbs is not None:
        return Queue.read("pbs", Path(pbs))
    return Local(workers)


@contextlib.contextmanager
def client_of(engine: Engine) -> Iterator[Any]:
    """A Dask client with the engine's workers, which end with it unless they were there before.

    Raises:
        InputError: Dask is not installed, or the workers cannot be had.
    """
    distributed, dask = _imported("distributed"), _imported("dask")
    quiet = {
        "distributed.scheduler.allowed-failures": 0,
        "distributed.logging.distributed": "critical",
        "distributed.worker.profile.enabled": False,  # it grows for hours
    }
    with dask.config.set(quiet), contextlib.ExitStack() as stack:
        if isinstance(engine, Address):
            yield stack.enter_context(_connected(distributed, engine.scheduler))
            return
        if isinstance(engine, Local):
            cluster = stack.enter_context(_started(distributed, engine.number))
        else:
            cluster = stack.enter_context(engine.start())
            submit = (cluster.job_cls.submit_command or "true").split()[0]
            if shutil.which(submit) is None:
                raise InputError(
                    f"there is no {submit} here; {engine.kind} jobs are submitted from a machine that has it"
                )
            # Jobs that end, by their time limit for instance, are followed by others.
            cluster.adapt(minimum_jobs=engine.jobs, maximum_jobs=engine.jobs)
        yield stack.enter_context(distributed.Client(cluster))


def _started(distributed: Any, workers: int) -> Any:
    try:
        # Without a limit on memory: fits need the same however many cores there are to divide it by.
        return distributed.LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            memory_limit=0,
            dashboard_address=":0",  # of any free port
            silence_logs=logging.CRITICAL,
            preload=_QUIET,
        )
    except (RuntimeError, OSError) as error:
        raise InputError(f"Dask cannot start {workers} workers on this machine: {error}") from error


def _connected(distributed: Any, address: str) -> Any:
    if not re.search(r"://|:\d+$", address):
        raise InputError(f"the scheduler's address is {address!r}; one as tcp://host:8786 is needed")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of versions that differ a little
            client = distributed.Client(address, timeout=PATIENCE, set_as_default=False)
    except (OSError, ValueError) as error:
        raise InputError(f"no Dask scheduler answers at {address}; an address as tcp://host:8786 is needed") from error
    try:
        _check(client, address)
    except InputError:
        client.close()
        raise
    return client


def _check(client: Any, address: str) -> None:
    """Raises InputError unless every worker has one thread and this version of galfit_sr."""
    many = {worker: threads for worker, threads in client.nthreads().items() if threads > 1}
    if many:
        worker, threads = next(iter(many.items()))
        raise InputError(
            f"worker {worker} has {threads} threads; a worker fits one galaxy at a time: start workers with"
            f" `dask worker {address} --nthreads 1 --nworkers {threads}`"
        )
    needed = version("galfit-sr")
    for worker, found in client.run(metadata.version, "galfit-sr", on_error="return").items():
        if found != needed:
            held = "no galfit_sr" if isinstance(found, Exception) else f"galfit_sr {found}"
            raise InputError(f"worker {worker} has {held}; {needed} is needed, as here")


def gpus() -> int:
    """NVIDIA GPUs that JAX would use here, without asking JAX, which would take hold of them."""
    if not any(importlib.util.find_spec(f"jax_cuda{major}_plugin") for major in (12, 13)):
        return 0
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return len([device for device in visible.split(",") if device.strip() not in ("", "-1")])
    return len(list(Path("/proc/driver/nvidia/gpus").glob("*")))


def _imported(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise InputError(
            f"a survey needs {package}, which is not installed; `pip install 'galfit-sr[survey]'` brings it"
        ) from error
