"""Runs the notebooks and keeps their figures for the tutorials, `images/tutorials/CELL.webp`, by the id of the cell.

    python docs/tutorial_figures.py            # all notebooks, some minutes
    python docs/tutorial_figures.py 01 05      # those whose names begin so

Notebooks are stored without outputs; `docs/notebooks.py` shows what is kept here below the cell that drew it.
"""

from __future__ import annotations

import base64
import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from PIL import Image

DOCS = Path(__file__).parent
FIGURES = DOCS / "images" / "tutorials"
LARGEST = (820, 1000)
"""Width and height, in pixels, down to which a figure is scaled."""
QUALITY = 85
"""Of the lossy compression: maps with noise would be five times as large in PNG."""


def main(beginnings: list[str]) -> None:
    """Replaces the figures of the notebooks whose names begin with one of `beginnings`; of all if there are none."""
    FIGURES.mkdir(exist_ok=True)
    for path in sorted((DOCS.parent / "notebooks").glob("*.ipynb")):
        if beginnings and not path.name.startswith(tuple(beginnings)):
            continue
        notebook = nbformat.read(path, as_version=4)
        NotebookClient(notebook, timeout=None, resources={"metadata": {"path": str(path.parent)}}).execute()
        for cell, image in figures(notebook):
            figure = FIGURES / f"{cell}.webp"
            image.save(figure, quality=QUALITY, method=6)
            print(f"{figure}: {image.width}x{image.height}, {figure.stat().st_size / 1000:.0f} kB", flush=True)


def figures(notebook: Any) -> Iterator[tuple[str, Image.Image]]:
    """Id of a cell and the figure that it drew, made small."""
    for cell in notebook.cells:
        shown = [output.get("data", {}) for output in cell.get("outputs", ())]
        drawn = [data["image/png"] for data in shown if "image/png" in data]
        if drawn:
            image = Image.open(io.BytesIO(base64.b64decode(drawn[-1]))).convert("RGB")
            image.thumbnail(LARGEST, Image.Resampling.LANCZOS)
            yield cell.id, image


if __name__ == "__main__":
    main(sys.argv[1:])
