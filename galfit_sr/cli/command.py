"""What all commands share: the application, how bad input ends, common options."""

from __future__ import annotations

import errno
import functools
import os
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from ..errors import InputError
from ..files import write_failure
from ..seeds import LARGEST
from .interrupts import (
    EXIT_INTERRUPTED,
    INTERRUPTED,
    hanging_up_interrupts,
    interrupts_are_heard,
    interrupts_are_raised,
)

app = typer.Typer(
    name="galfit-sr",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)

EXIT_BAD_INPUT = 2


def command(function: Callable[..., None]) -> Callable[..., None]:
    """Register a command whose bad input ends in one sentence on stderr and exit code 2, never in a traceback."""

    @functools.wraps(function)
    def guarded(*args: Any, **kwargs: Any) -> None:
        try:
            with warnings.catch_warnings(), hanging_up_interrupts(), interrupts_are_heard(), interrupts_are_raised():
                warnings.showwarning = _tell
                function(*args, **kwargs)
        except InputError as error:
            stop(f"galfit-sr: {error}", EXIT_BAD_INPUT)
        except BrokenPipeError:
            raise  # whoever read our output has seen enough; typer ends quietly
        except OSError as error:
            stop(f"galfit-sr: {unexpected(error)}", EXIT_BAD_INPUT)
        except MemoryError as error:
            stop(f"galfit-sr: {error or 'out of memory'}", EXIT_BAD_INPUT)
        except KeyboardInterrupt:
            stop(INTERRUPTED, EXIT_INTERRUPTED)

    app.command()(guarded)
    return guarded


def unexpected(error: OSError) -> str:
    """The sentence for what the operating system refused where no file was in the way: our output, if it is full."""
    return write_failure(Path("standard output"), error) if error.errno == errno.ENOSPC else str(error)


def _tell(message: Warning | str, *_: Any, **__: Any) -> None:
    """A warning as a sentence, without the line of code that it came from."""
    typer.echo(f"warning: {message}", err=True)


def stop(sentence: str, code: int) -> NoReturn:
    """End with a sentence on stderr, the last words there."""
    # Ctrl-C in the middle of an asynchronous write leaves coroutines that Python complains of when it exits.
    warnings.filterwarnings("ignore", "coroutine .* was never awaited", RuntimeWarning)
    typer.echo(" ".join(sentence.split()), err=True)
    raise typer.Exit(code)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"galfit-sr {version('galfit-sr')}")
        raise typer.Exit


@app.callback()
def _options(
    _: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Bayesian fits of galaxy maps: brightness, velocity, dispersion and mass-to-light ratio.

    Start with [bold]galfit-sr fit[/bold], which fits the galaxy that comes with the package.
    """


COMPONENTS_HELP = "Which of bulge, disc1, disc2, halo; thick_disc1, thick_disc2 for thick discs."
AsJson = Annotated[bool, typer.Option("--json", help="Print one line of JSON on stdout, and nothing else there.")]
X64 = Annotated[bool | None, typer.Option("--x64/--x32", help="Double or single precision. (default: single)")]
Seed = Annotated[
    int | None, typer.Option(min=0, max=LARGEST, help="Of every random number; the same seed repeats a run.")
]


def parts_of(components: str) -> tuple[str, ...]:
    """Components as a command is given them, separated by commas."""
    return tuple(part.strip() for part in components.split(","))


def check_readable(path: Path | None) -> None:
    """Raises InputError if a path is given and is not a readable file, or a pipe as the shell's <(...) gives."""
    if path is None:
        return
    if not path.exists():
        raise InputError(f"{path} does not exist; a file is needed")
    if path.is_dir():
        raise InputError(f"{path} is not a file; a file is needed")
    if not os.access(path, os.R_OK):
        raise InputError(f"{path} cannot be read; check its permissions")


def stem(file: Path) -> str:
    """The name of a file without its folder and endings."""
    return file.name.removesuffix(".gz").removesuffix(".fits")
