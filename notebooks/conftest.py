"""Notebooks run in processes of their own, which share compiled programs; other tests know nothing of that."""

import os

from nbclient import NotebookClient

# Mimicking the browser's side of output widgets, nbclient now and then waits for a reply that it has read already
# (jupyter/nbclient, issue 312). Without it what they show lands below the cell.
NotebookClient.on_comm_open_jupyter_widget = lambda self, message: None

CACHE = "JAX_COMPILATION_CACHE_DIR"
_before = []


def pytest_runtest_setup(item):
    _before.append(os.environ.get(CACHE))
    os.environ.setdefault(CACHE, str(item.config.cache.mkdir("xla")))


def pytest_runtest_teardown(item):
    if _before.pop() is None:
        del os.environ[CACHE]
