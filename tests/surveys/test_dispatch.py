"""Workers that die, lost schedulers, batch jobs: what Dask does with galaxies, on real workers and without fits."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import stubs

from galfit_sr.errors import InputError
from galfit_sr.surveys import cluster
from galfit_sr.surveys import dispatch as dispatching
from galfit_sr.surveys.cluster import Address, Local, Queue, client_of, engine_of
from galfit_sr.surveys.dispatch import dispatch

# Dask leaves sockets and processes to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

SLURM = """
jobs = 3
processes = 2
memory = "8GB"
queue = "astro"
account = "galaxies"
walltime = "08:00:00"
job_cpu = 4
job_script_prologue = ["module load cuda"]
"""


def ended(news):
    return {outcome.name: outcome for each in news for outcome in each.ended}


@pytest.fixture(scope="module")
def client():
    with client_of(Local(2)) as client:
        yield client


@pytest.mark.slow
def test_lost_workers_cost_no_galaxy(client, tmp_path, monkeypatch):
    monkeypatch.setattr(dispatching, "DEATHS", 1)
    names = ["killed-once", "killed-always", *(f"galaxy {i}" for i in range(6))]
    news = list(dispatch(client, stubs.tasks(tmp_path, *names), stubs.act))
    found = ended(news)
    assert set(found) == set(names)
    assert all(len(each.running) <= 2 for each in news)
    assert found.pop("killed-always").reason.startswith("its worker was killed 2 times")
    assert all(outcome.done for outcome in found.values())
    begun = {name: len((tmp_path / name).read_text().splitlines()) for name in names}
    assert begun.pop("killed-always") == 2
    assert begun.pop("killed-once") == 2
    assert set(begun.values()) == {1}, "no other galaxy is done twice, or blamed"


def test_what_a_dying_worker_has_told_is_known_at_once(client, tmp_path):
    names = ["told", "galaxy 1", "galaxy 2"]
    news = list(dispatch(client, stubs.tasks(tmp_path, *names), stubs.act))
    assert ended(news)["told"].reason == "its time was up"
    assert len((tmp_path / "told").read_text().splitlines()) == 1, "not tried again"


def test_workers_share_the_cores(client, tmp_path):
    client.wait_for_workers(2, timeout=60)
    found = ended(dispatch(client, stubs.tasks(tmp_path, *(f"settled {i}" for i in range(4))), stubs.act))
    assert all(outcome.worker["x64"] and outcome.worker["deaf"] for outcome in found.values())
    shares = {tuple(outcome.worker["cores"]) for outcome in found.values()}
    if hasattr(os, "sched_getaffinity") and len(os.sched_getaffinity(0)) >= 2:
        assert len(shares) == 2
        assert not set.intersection(*map(set, shares))


def test_errors_of_the_work_itself_are_told_in_a_line(client, tmp_path):
    (outcome,) = ended(dispatch(client, stubs.tasks(tmp_path, "refused"), stubs.act)).values()
    assert outcome.reason == "InputError: it is refused"


def test_workers_of_a_scheduler_that_runs_already(client, tmp_path):
    with client_of(Address(client.scheduler.address)) as other:
        found = ended(dispatch(other, stubs.tasks(tmp_path, "one", "two", "three"), stubs.act))
    assert len(found) == 3
    client.wait_for_workers(2, timeout=60)  # they are not ours to end


def test_a_scheduler_that_runs_already_is_enough(client, tmp_path):
    """From a process without any other client, as the command is; Dask's functions ask for the current one."""
    script = (
        "import sys; from pathlib import Path; import stubs; from galfit_sr.surveys.cluster import Address, client_of\n"
        "from galfit_sr.surveys.dispatch import dispatch\n"
        "with client_of(Address(sys.argv[1])) as client:\n"
        "    news = list(dispatch(client, stubs.tasks(Path(sys.argv[2]), 'one', 'two'), stubs.act))\n"
        "print(*sorted(outcome.name for each in news for outcome in each.ended if outcome.done))\n"
    )
    paths = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-c", script, client.scheduler.address, str(tmp_path)]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True, check=False)
    assert done.stdout == "one two\n", done.stderr


def test_workers_that_cannot_do_it_are_refused(monkeypatch):
    from distributed import LocalCluster

    several = pytest.raises(InputError, match="has 2 threads; a worker fits one galaxy at a time")
    with LocalCluster(n_workers=1, threads_per_worker=2, processes=False, dashboard_address=":0") as threads:
        address = Address(threads.scheduler_address)
        with several, client_of(address):
            pass
    monkeypatch.setattr(cluster, "version", lambda name: "99")
    other = pytest.raises(InputError, match=r"has galfit_sr \S+; 99 is needed, as here")
    with LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=":0") as single:
        address = Address(single.scheduler_address)
        with other, client_of(address):
            pass


def test_an_address_that_is_none():
    with (
        pytest.raises(InputError, match="the scheduler's address is 'nonsense'; one as tcp://host:8786"),
        client_of(Address("nonsense")),
    ):
        pass


def test_no_scheduler(monkeypatch):
    monkeypatch.setattr(cluster, "PATIENCE", 1.0)
    refusal = pytest.raises(InputError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9")
    with refusal, client_of(Address("tcp://127.0.0.1:9")):
        pass


@pytest.mark.slow
def test_jobs_of_a_batch_system(tmp_path, monkeypatch):
    """Job scripts that this machine runs itself."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]))
    with client_of(Queue("local", 1, {"memory": "4GB"})) as client:
        found = ended(dispatch(client, stubs.tasks(tmp_path, "one", "two"), stubs.act))
    assert {outcome.done for outcome in found.values()} == {True}
    assert len(found) == 2


def test_a_machine_without_slurm(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    refusal = pytest.raises(InputError, match="there is no sbatch here; slurm jobs are submitted from a machine")
    with refusal, client_of(Queue("slurm", 1, {"memory": "4GB"})):
        pass


def test_slurm_job_scripts(tmp_path):
    (tmp_path / "slurm.toml").write_text(SLURM)
    queue = Queue.read("slurm", tmp_path / "slurm.toml")
    assert (queue.jobs, queue.processes) == (3, 2)
    with queue.start() as jobs:
        script = jobs.job_script()
    for line in (
        "#SBATCH -p astro",
        "#SBATCH -A galaxies",
        "#SBATCH --cpus-per-task=4",
        "#SBATCH --mem=8G",
        "#SBATCH -t 08:00:00",
        "module load cuda",
    ):
        assert line in script.splitlines()
    command = script.splitlines()[-1]
    for option in ("--nthreads 1", "--nworkers 2", "--nanny", "--memory-limit 0"):
        assert option in command


def test_pbs_job_scripts():
    with Queue("pbs", 1, {"memory": "4GB", "resource_spec": "select=1:ncpus=2:mem=4gb"}).start() as jobs:
        assert "#PBS -l select=1:ncpus=2:mem=4gb" in jobs.job_script().splitlines()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('memory = "8GB"', "has no 'jobs'"),
        ('jobs = 0\nmemory = "8GB"', "jobs is 0; a whole number of at least 1"),
        ('jobs = 1\ncores = 4\nmemory = "8GB"', "cores = 4 and processes = 1; as many are needed"),
        ("jobs = 1", "refuses the options of the slurm jobs"),
        ('jobs = 1\nmemory = "8GB"\nqueu = "astro"', "queu"),
        ("jobs = ", "not valid TOML"),
    ],
)
def test_batch_options_that_are_not_understood(tmp_path, text, sentence):
    (tmp_path / "slurm.toml").write_text(text)
    with pytest.raises(InputError, match=sentence):
        Queue.read("slurm", tmp_path / "slurm.toml").start()


def test_dask_that_is_not_installed(monkeypatch):
    def absent(name):
        raise ImportError(name)

    monkeypatch.setattr(cluster.importlib, "import_module", absent)
    refusal = pytest.raises(
        InputError, match=r"needs distributed, which is not installed; `pip install 'galfit-sr\[sur"
    )
    with refusal, client_of(Local(1)):
        pass
    with pytest.raises(InputError, match="needs dask_jobqueue, which"):
        Queue("slurm", 1, tomllib.loads('memory = "1GB"')).start()


def test_one_engine_is_chosen(tmp_path):
    (tmp_path / "jobs.toml").write_text("jobs = 2\nprocesses = 3\n")
    assert engine_of() == Local()
    assert engine_of(workers=3) == Local(3)
    assert engine_of(scheduler="tcp://a:1") == Address("tcp://a:1")
    for kind in ("slurm", "pbs"):
        assert engine_of(**{kind: tmp_path / "jobs.toml"}) == Queue(kind, 2, {"processes": 3})
    with pytest.raises(InputError, match="workers and pbs exclude each other; choose one"):
        engine_of(workers=1, pbs="jobs.toml")


def test_graphics_cards(monkeypatch):
    monkeypatch.setattr(cluster.importlib.util, "find_spec", lambda name: None)
    assert cluster.gpus() == 0, "JAX would not use them"
    monkeypatch.setattr(cluster.importlib.util, "find_spec", lambda name: object())
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,3")
    assert cluster.gpus() == 2
    assert Local().number == 2, "one worker each"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert cluster.gpus() == 0
    for workers in (0, True, 1.5):
        with pytest.raises(InputError, match="a whole number of at least 1"):
            Local(workers)
