"""Folders of work that goes on where it was stopped, with the settings that it began with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..files import write_text
from .rendering import json_text, plain


def claim(
    folder: Path, mark: str, settings: Mapping[str, Any], what: str, beside: Mapping[str, Any] | None = None
) -> None:
    """Sees that a folder is new, or holds work with these settings.

    Args:
        folder: made if missing.
        mark: file in it that holds the settings.
        settings: name -> value.
        what: kind of work, for messages.
        beside: what a new folder holds as well, and work that goes on may have otherwise.

    Raises:
        InputError: the folder holds something else or work with other settings, or cannot be read or written.
    """
    file = folder / mark
    if not file.is_file():
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise InputError(f"{folder} holds files that are not a {what}; an empty or new folder is needed")
        write_text(file, json_text({**settings, **(beside or {})}))
        return
    held = read_json(file)
    other = [name for name, value in settings.items() if held.get(name) != plain(value)]
    if other:
        raise InputError(f"{folder} holds a {what} with other settings ({', '.join(other)}); choose another folder")


def read_json(file: Path) -> dict[str, Any]:
    """The mapping in a JSON file.

    Raises:
        InputError: it cannot be read or holds something else.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{file} cannot be read ({error}); choose another folder") from error
    if not isinstance(content, dict):
        raise InputError(f"{file} holds {type(content).__name__}, not a mapping; choose another folder")
    return content
