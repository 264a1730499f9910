"""Notebooks run in processes of their own, which share compiled programs; other tests know nothing of that."""

import os

CACHE = "JAX_COMPILATION_CACHE_DIR"
_before = []


def pytest_runtest_setup(item):
    _before.append(os.environ.get(CACHE))
    os.environ.setdefault(CACHE, str(item.config.cache.mkdir("xla")))


def pytest_runtest_teardown(item):
    if _before.pop() is None:
        del os.environ[CACHE]
