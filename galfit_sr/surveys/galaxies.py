"""Which galaxies a survey is of: files on the command line, or a list with one row each."""

from __future__ import annotations

import csv
import dataclasses
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ..config import locate_region
from ..errors import InputError
from ..toml import check_keys

COLUMNS = ("file", "name", "region", "masses")
"""Of a list of galaxies; the first is needed."""
_LONGEST = 150
"""Bytes of a galaxy's name, so that names of files that are made of it are none too long."""


@dataclasses.dataclass(frozen=True)
class Galaxy:
    """One galaxy of a survey.

    Attributes:
        name: of its folder, different from all others'.
        file: MaNGA MAPS or observation file.
        region, masses: as in `ObservationConfig`; None for what the configuration says.
    """

    name: str
    file: str
    region: str | None = None
    masses: str | None = None


def stem(file: str | Path) -> str:
    """The name of a file without its folder and endings."""
    return Path(file).name.removesuffix(".gz").removesuffix(".fits")


def from_files(files: Iterable[str | Path]) -> tuple[Galaxy, ...]:
    """Galaxies named after their files.

    Raises:
        InputError: no file, or one that is given twice.
    """
    return _distinct(Galaxy(stem(file), str(Path(file).absolute())) for file in files)


def from_list(path: str | Path) -> tuple[Galaxy, ...]:
    """Galaxies from a CSV file with a header; its columns are `COLUMNS`, paths are relative to its folder.

    Raises:
        InputError: the list cannot be read, has other columns, or a row without a file.
    """
    path = Path(path)
    try:
        rows = list(csv.reader(path.read_text(encoding="utf-8-sig").splitlines(), skipinitialspace=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} cannot be read as a list of galaxies: {error}") from error
    heads = [head.strip() for head in rows[0]] if rows else []
    if "file" not in heads:
        raise InputError(
            f"{path} has the columns {', '.join(heads) or '(none)'}; a first line with {', '.join(COLUMNS)} is needed,"
            " of which all but file may be left out"
        )
    check_keys(dict.fromkeys(heads), list(COLUMNS), str(path))
    return _distinct(_rows(path, heads, rows[1:]))


def _rows(path: Path, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[Galaxy]:
    folder = path.parent.absolute()
    for number, row in enumerate(rows, start=2):
        cells = [cell.strip() for cell in row]
        if not any(cells):
            continue
        given = {head: cell for head, cell in zip(heads, cells, strict=False) if cell}
        if len(cells) > len(heads) or "file" not in given:
            raise InputError(f"{path}, line {number}: {row}; a file and at most {len(heads)} cells are needed")
        yield Galaxy(
            given.get("name") or stem(given["file"]),
            str(folder / given["file"]),
            locate_region(given["region"], folder) if "region" in given else None,
            str(folder / given["masses"]) if "masses" in given else None,
        )


def _distinct(galaxies: Iterable[Galaxy]) -> tuple[Galaxy, ...]:
    """The same with names that can be folders and differ, on file systems that do not tell cases apart as well."""
    found: dict[str, Galaxy] = {}
    inputs: set[Galaxy] = set()
    for galaxy in galaxies:
        key = dataclasses.replace(galaxy, name="", file=os.path.realpath(galaxy.file))
        if key in inputs:
            raise InputError(f"{galaxy.file} is given twice; every galaxy is needed once")
        inputs.add(key)
        plain = re.sub(r"[^\w.+-]", "_", galaxy.name).encode()[:_LONGEST].decode(errors="ignore")
        wished = plain.strip(".") or "galaxy"
        name, number = wished, 2
        while name.lower() in found:
            name, number = f"{wished}_{number}", number + 1
        found[name.lower()] = dataclasses.replace(galaxy, name=name)
    if not found:
        raise InputError("there is no galaxy in the survey; at least one file is needed")
    return tuple(found.values())
