"""Notebooks run with the public package, in processes of their own that share compiled programs."""

import os


def pytest_configure(config):
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(config.cache.mkdir("xla")))
