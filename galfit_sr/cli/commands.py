"""The application with all its commands: one module per command, in the order in which `--help` lists them.

Everything that loads JAX is imported inside the commands, so that help is instant and a wrong path fails at once.
"""

from __future__ import annotations

from . import fit, survey, mock, report, compare, calibrate, benchmark, emulators, dataset, train  # isort: skip - the order of the help
from .command import app

__all__ = [
    "app",
    "benchmark",
    "calibrate",
    "compare",
    "dataset",
    "emulators",
    "fit",
    "mock",
    "report",
    "survey",
    "train",
]
