"""What is shown while a run goes on, where there is a terminal and where there is none."""

import io
import os
import shlex
import signal
import subprocess
import sys

import pytest
from rich.console import Console

from galfit_sr import terminal
from galfit_sr.cli.interrupts import hanging_up_interrupts
from galfit_sr.terminal import ProgressDisplay, format_seconds, seconds_left


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (185, "3 min 05 s"),
        (3599.7, "1 h 00 min"),
        (7805, "2 h 10 min"),
    ],
)
def test_durations(seconds, text):
    assert format_seconds(seconds) == text


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test sets."""
    now = [100.0]
    monkeypatch.setattr(terminal.time, "monotonic", lambda: now[0])
    return now


def test_plain_lines_without_a_terminal(clock):
    stream = io.StringIO()
    with ProgressDisplay(Console(file=stream, force_terminal=False)) as progress:
        progress("first answer", None, "")
        clock[0] += 3
        progress("sampling", 0.0, "0 calls")
        clock[0] += 1
        progress("sampling", 0.1, "too soon for another line")
        clock[0] += 9
        progress("sampling", 0.2, "400 calls")
        clock[0] += 5
        progress("sampling", 0.22, "too soon as well")
        clock[0] += 5
        progress("sampling", 0.25, "900 calls [of many]")
    assert stream.getvalue().splitlines() == [
        "first answer",
        "sampling, 0 %, 0 calls",
        "sampling, 20 %, 400 calls",
        "sampling, 25 %, about 2 min 30 s left, 900 calls [of many]",
    ]


@pytest.mark.parametrize(
    ("reports", "seconds"),
    [
        ([(0, 0.0), (5, 0.3), (8, 0.6)], None),
        ([(0, 0.0), (20, 0.5)], None),
        ([(0, 0.0), (14, 0.0), (15, 0.1), (16, 0.2)], 64),
        ([(100, 0.9), (105, 0.91), (110, 0.92)], None),
        ([(100, 0.9), (105, 0.91), (108, 0.915), (110, 0.92)], 40),
        ([(0, 0.5), (10, 0.6), (15, 0.4), (20, 0.55)], None),
        ([(0, 0.0), (10, 0.5), (15, 0.8), (20, 1.0)], None),
    ],
    ids=["too soon", "one step", "compiled first", "two reports", "resumed", "set back", "at its end"],
)
def test_time_left_is_told_from_a_pace(reports, seconds):
    found = seconds_left(reports)
    assert found is None if seconds is None else found == pytest.approx(seconds)


def test_a_bar_on_a_terminal():
    stream = io.StringIO()
    with ProgressDisplay(Console(file=stream, force_terminal=True, width=120)) as progress:
        progress("first answer", None, "")
        progress("sampling", 0.25, "900 calls")
    shown = stream.getvalue()
    assert "first answer" in shown
    assert "900 calls" in shown
    assert "\x1b[" in shown


def test_plain_lines_on_a_terminal_that_cannot_redraw(monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    stream = io.StringIO()
    with ProgressDisplay(Console(file=stream, force_terminal=True, width=120)) as progress:
        progress("first answer", None, "")
    assert stream.getvalue() == "first answer\n"


@pytest.fixture
def on_hanging_up():
    """Sets what SIGHUP does; afterwards it does what it did, which under nohup is nothing."""
    before = signal.getsignal(signal.SIGHUP)
    yield lambda action: signal.signal(signal.SIGHUP, action)
    signal.signal(signal.SIGHUP, before)


def test_a_closed_terminal_interrupts_as_ctrl_c_does(on_hanging_up):
    on_hanging_up(signal.SIG_DFL)
    with pytest.raises(KeyboardInterrupt), hanging_up_interrupts():
        os.kill(os.getpid(), signal.SIGHUP)
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_DFL


def test_nohup_is_respected(on_hanging_up):
    on_hanging_up(signal.SIG_IGN)
    with hanging_up_interrupts():
        os.kill(os.getpid(), signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def test_a_reader_that_has_seen_enough_ends_the_command_quietly():
    code = "from galfit_sr.cli import main; main()"
    for arguments in ("--help", "--version"):
        process = subprocess.Popen(
            f"{shlex.quote(sys.executable)} -c {shlex.quote(code)} {arguments} | true",
            shell=True,
            stderr=subprocess.PIPE,
            text=True,
        )
        _, err = process.communicate(timeout=60)
        assert err == ""


DEAF = """
import gc, os, signal, time
from galfit_sr.cli.command import app, command

def collected(phase, info):
    gc.callbacks.clear()
    os.kill(os.getpid(), signal.SIGINT)
    sum(range(1000))

@command
def wait():
    gc.callbacks.append(collected)
    gc.collect()
    time.sleep(20)
    print("on to the end")

app(["wait"])
"""


def test_ctrl_c_is_heard_where_python_cannot_raise():
    """As in JAX's callback of the garbage collector: without us, a traceback is printed and the command goes on."""
    done = subprocess.run([sys.executable, "-c", DEAF], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "galfit-sr: interrupted\n")


LOADING = """
import os, signal, sys
from galfit_sr.cli import main

class Extension:
    def find_spec(self, name, *_):
        if name == NAME:
            try:
                os.kill(os.getpid(), signal.SIGINT)
                sum(range(1000))
            except KeyboardInterrupt:
                raise ImportError("as compiled modules make of it")

sys.meta_path.insert(0, Extension())
sys.argv = ["galfit-sr", "emulators"]
main()
"""


@pytest.mark.parametrize("name", ["typer", "jax"])
def test_ctrl_c_while_modules_are_loaded(name):
    """From the entry on, and within a command: its imports take seconds, and crash if an exception comes in between."""
    code = LOADING.replace("NAME", repr(name))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "galfit-sr: interrupted\n")
