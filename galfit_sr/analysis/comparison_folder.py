"""The folder of a comparison: which runs go into it, and what is written.

comparison.json   all numbers
comparison.txt    the tables
comparison.html   all of it for people, in one file
figures/*.png     the figures of the page
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from ..errors import InputError
from ..files import write_bytes, write_failure, write_text
from ..progress import Progress
from .compare import Comparison, compare
from .comparison_page import comparison_html
from .rendering import json_text, png
from .run_folder import read_run

MARK = "comparison.json"
"""There first, so that a folder that holds a comparison can be told from any other."""
_DPI = {"corner": 80, "corner_key": 110}


def compare_runs(folders: Sequence[Path], progress: Progress) -> Comparison:
    """Compares finished runs with the first of them, by the names of their folders.

    Args:
        folders: of two or more runs.
        progress: called with stage, fraction done (None if unknown) and a few words.

    Raises:
        InputError: fewer than two runs, one that is not finished, the same twice, or runs of different data.
    """
    if len(folders) < 2:
        raise InputError(
            f"{len(folders)} run{'' if len(folders) == 1 else 's'} to compare; at least two run folders are needed"
        )
    places = [folder.resolve() for folder in folders]
    twice = [str(folder) for folder, place in zip(folders, places, strict=True) if places.count(place) > 1]
    if twice:
        raise InputError(f"{' and '.join(twice)} are the same run; different ones are needed")
    runs = []
    for i, folder in enumerate(folders):
        progress("reading", i / len(folders), str(folder))
        runs.append(read_run(folder))
    names = [place.name for place in places]
    labels = names if len(set(names)) == len(names) else [str(folder) for folder in folders]
    progress("comparing", None, "")
    return compare(*(run.posterior for run in runs), observation=runs[0].observation, labels=labels)


def check_folder(folder: Path) -> None:
    """Raises InputError if a folder holds anything but a comparison, which may be replaced: it can be made again."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; a folder for the comparison is needed")
    if folder.is_dir() and any(folder.iterdir()) and not _is_comparison(folder / MARK):
        raise InputError(f"{folder} holds files that are not a comparison; an empty or new folder is needed")


def write_comparison(folder: Path, comparison: Comparison) -> Path:
    """Writes everything, in place of an earlier comparison; returns the path of the page.

    Raises:
        InputError: the folder holds something else, or cannot be written.
    """
    check_folder(folder)
    summary = comparison.summary()
    images = {name: png(figure, _DPI.get(name, 130)) for name, figure in comparison.figures().items()}
    page = folder / "comparison.html"
    write_text(folder / MARK, json_text(summary))
    try:
        for path in (folder / "comparison.txt", page, *(folder / "figures").glob("*.png")):
            path.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(write_failure(folder, error)) from error
    write_text(folder / "comparison.txt", f"{comparison}\n")
    for name, image in images.items():
        write_bytes(folder / "figures" / f"{name}.png", image)
    write_text(page, comparison_html(summary, images))
    return page


def _is_comparison(mark: Path) -> bool:
    try:
        return "contrasts" in json.loads(mark.read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError):
        return False
