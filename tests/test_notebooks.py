"""Notebooks are kept without outputs, speak to the public package only, and are all among the tutorials."""

import importlib.util
import json
import re
from pathlib import Path

import pytest

import galfit_sr as gs
from galfit_sr.errors import InputError

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def code(path):
    return [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_outputs_are_stripped(path):
    left = [i for i, cell in enumerate(code(path)) if cell["outputs"] or cell["execution_count"] is not None]
    assert left == [], "run `jupyter nbconvert --clear-output --inplace` on it"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_only_public_names_are_used(path):
    text = "\n".join("".join(cell["source"]) for cell in code(path))
    assert "galfit_sr." not in text, "everything is imported as `gs`"
    assert set(re.findall(r"\bgs\.(\w+)", text)) <= set(gs.__all__)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_is_among_the_tutorials(path):
    assert f"({path.stem}.md)" in (ROOT / "docs" / "tutorials" / "index.md").read_text(encoding="utf-8")
    assert f"tutorials/{path.stem}.md" in (ROOT / "mkdocs.yml").read_text(encoding="utf-8")


def test_a_maps_file_that_is_not_there_is_told(monkeypatch, tmp_path):
    """The mock stands in where no file is named, not where its name is mistyped."""
    monkeypatch.setattr(gs, "start_jax", lambda: None)
    first = "".join(code(ROOT / "notebooks" / "02_manga_galaxy.ipynb")[0]["source"])
    monkeypatch.delenv("GALFIT_SR_MAPS", raising=False)
    names = {}
    exec(first, names)
    assert names["galaxy"].name == "mock_galaxy"
    monkeypatch.setenv("GALFIT_SR_MAPS", str(tmp_path / "manga-typo-MAPS.fits.gz"))
    with pytest.raises(InputError, match=r"manga-typo-MAPS\.fits\.gz"):
        exec(first, {})


def test_kept_figures_are_small_and_of_cells_that_are_there():
    kept = {path.stem: path.stat().st_size for path in (ROOT / "docs" / "images" / "tutorials").glob("*.webp")}
    assert kept.keys() <= {cell["id"] for path in NOTEBOOKS for cell in code(path)}
    assert kept
    assert max(kept.values()) < 150_000


def test_a_tutorial_shows_the_figures_that_are_kept():
    pytest.importorskip("mkdocs")
    spec = importlib.util.spec_from_file_location("tutorial_pages", ROOT / "docs" / "notebooks.py")
    pages = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(pages)
    shown = set()
    for path in NOTEBOOKS:
        text = pages.page(json.loads(path.read_text(encoding="utf-8")))
        shown |= set(re.findall(r"^!\[.+\]\(\.\./images/tutorials/([\w-]+)\.webp\)$", text, re.MULTILINE))
    assert shown == {path.stem for path in (ROOT / "docs" / "images" / "tutorials").glob("*.webp")}
