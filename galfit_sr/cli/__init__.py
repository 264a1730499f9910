"""The command line: one module per command, in the order in which `--help` lists them. No science here.

Everything that loads JAX is imported inside the commands, so that help is instant and a wrong path fails at once.
"""

from __future__ import annotations

import contextlib
import gc
import os
import sys

from . import fit, survey, mock, report, compare, calibrate, benchmark, emulators, dataset, train  # isort: skip - the order of the help
from .command import EXIT_BAD_INPUT, EXIT_INTERRUPTED, app, unexpected

__all__ = [
    "app",
    "benchmark",
    "calibrate",
    "compare",
    "dataset",
    "emulators",
    "fit",
    "main",
    "mock",
    "report",
    "survey",
    "train",
]


def main() -> None:
    """Entry point of the installed command."""
    # JAX makes millions of objects that last; the default, 700, has all of them looked at again and again.
    gc.set_threshold(50_000)
    try:
        app(prog_name="galfit-sr")
    except SystemExit as end:
        if end.code == EXIT_INTERRUPTED:
            # XLA may still compile in threads of its own, and crashes when Python is taken down around them.
            for stream in (sys.stdout, sys.stderr):
                with contextlib.suppress(OSError):
                    stream.flush()
            os._exit(EXIT_INTERRUPTED)
        raise
    except OSError as error:
        # Of help and version, which are no commands.
        sys.stderr.write(f"galfit-sr: {unexpected(error)}\n")
        os._exit(EXIT_BAD_INPUT)
