"""Ctrl-C, from the first moment on: one line on stderr and exit code 130, never a traceback or a crash."""

from __future__ import annotations

import _thread
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import NoReturn

EXIT_INTERRUPTED = 130
INTERRUPTED = "galfit-sr: interrupted"


def end_when_interrupted() -> None:
    """Have Ctrl-C end this process at once, for as long as nothing has begun; ignored where the shell ignores it."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)


@contextlib.contextmanager
def interrupts_are_raised() -> Iterator[None]:
    """Ctrl-C raises KeyboardInterrupt, as in any program, where it ended the process at once before."""
    if signal.getsignal(signal.SIGINT) is not _end:
        yield
        return
    signal.signal(signal.SIGINT, _raise_unless_importing)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, _end)


@contextlib.contextmanager
def hanging_up_interrupts() -> Iterator[None]:
    """A terminal that is closed ends a command as Ctrl-C does, with what is complete kept, unless `nohup` forbids."""
    own = threading.current_thread() is threading.main_thread() and hasattr(signal, "SIGHUP")
    if not own or signal.getsignal(signal.SIGHUP) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGHUP, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


@contextlib.contextmanager
def interrupts_are_heard() -> Iterator[None]:
    """Ctrl-C where Python cannot raise, as in JAX's callback of the garbage collector, comes again a moment later."""
    before = sys.unraisablehook

    def unraised(what: sys.UnraisableHookArgs) -> None:
        if issubclass(what.exc_type, KeyboardInterrupt):
            threading.Timer(0.05, _thread.interrupt_main).start()
        else:
            before(what)

    sys.unraisablehook = unraised
    try:
        yield
    finally:
        sys.unraisablehook = before


def _end(number: int, frame: FrameType | None) -> NoReturn:
    os.write(2, f"{INTERRUPTED}\n".encode())
    os._exit(EXIT_INTERRUPTED)


def _raise_unless_importing(number: int, frame: FrameType | None) -> None:
    # JAX's compiled modules take an exception while they are loaded for an error of theirs, or crash.
    outer = frame
    while outer is not None:
        if outer.f_code.co_filename == "<frozen importlib._bootstrap>":
            _end(number, frame)
        outer = outer.f_back
    signal.default_int_handler(number, frame)
