"""A hook of MkDocs: every notebook in `notebooks/` as a page, with its outputs where it has been run.

Where it has not, figures that `tutorial_figures.py` kept stand below the cells that drew them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

FIGURES = Path(__file__).parent / "images" / "tutorials"


def on_files(files: Files, config: Any) -> Files:
    """Adds `tutorials/NAME.md` for each notebook."""
    for path in sorted((Path(config.config_file_path).parent / "notebooks").glob("*.ipynb")):
        content = page(json.loads(path.read_text(encoding="utf-8")))
        files.append(File.generated(config, f"tutorials/{path.stem}.md", content=content))
    return files


def page(notebook: dict[str, Any]) -> str:
    """The content of a notebook (its JSON) as Markdown, for the folder `tutorials`."""
    return "\n\n".join(_cells(notebook))


def _cells(notebook: dict[str, Any]) -> Iterator[str]:
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            # Links are those of the source's folders, for readers of notebooks.
            yield source.replace("](../docs/", "](../")
        elif cell["cell_type"] == "code" and source:
            yield f"```python\n{source}\n```"
            yield from map(_output, cell["outputs"])
            if not cell["outputs"] and (FIGURES / f"{cell['id']}.webp").is_file():
                yield f"![What the cell draws](../images/{FIGURES.name}/{cell['id']}.webp)"


def _output(output: dict[str, Any]) -> str:
    data = output.get("data", {})
    if "image/png" in data:
        return f'<img alt="figure" src="data:image/png;base64,{"".join(data["image/png"]).strip()}">'
    if "text/html" in data:
        return "".join(data["text/html"])
    text = "".join(output.get("text", data.get("text/plain", "")))
    return f"<pre>{escape(text)}</pre>" if text else ""
