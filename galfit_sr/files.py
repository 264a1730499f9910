"""Paths, and files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import uuid
from pathlib import Path

from .errors import InputError


def path_of(name: str, value: str | os.PathLike[str]) -> Path:
    """`value` as a path.

    Raises:
        InputError: `value`, called `name`, is none.
    """
    if not isinstance(value, str | os.PathLike):
        raise InputError(f"{name} is {value!r}; the path of a file or folder is needed")
    return Path(value)


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` to a temporary name in the same folder, then move it to `path` in one step.

    Missing folders are made. A reader never sees half a file, and a failure leaves whatever was there before.

    Raises:
        InputError: the file cannot be written (disk full, quota, permissions).
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "xb") as file:
            file.write(content)
            file.flush()
            # A disk can also turn out to be full when its buffers are emptied; that must happen before the move.
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise InputError(write_failure(path, error)) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_text(path: Path, content: str) -> None:
    """`write_bytes` for text, in UTF-8."""
    write_bytes(path, content.encode())


def write_failure(path: Path, error: OSError) -> str:
    """The sentence for a file that could not be written."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"cannot write {path}: the disk (or your quota) is full; free some space or choose another folder"
    if error.errno == errno.EISDIR:
        return f"cannot write {path}: it is a folder; the name of a file is needed"
    return f"cannot write {path}: {error.strerror or error}; a writable folder is needed"
