"""The command line. No science here."""

from __future__ import annotations

import contextlib
import gc
import os
import sys

from .interrupts import EXIT_INTERRUPTED, end_when_interrupted

__all__ = ["main"]


def main() -> None:
    """Entry point of the installed command."""
    end_when_interrupted()
    # Only now what takes a while to load.
    from .command import EXIT_BAD_INPUT, unexpected
    from .commands import app

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
