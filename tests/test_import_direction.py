"""Imports point one way, and every folder of the package is installed."""

import ast
import re
import tomllib
from pathlib import Path

import pytest

import galfit_sr

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "galfit_sr"
LAYERS = (
    ("errors", "shown"),
    ("numeric",),
    ("devices", "psf", "files", "seeds", "progress", "processes", "correlation"),
    ("startup", "threads"),
    ("parameters",),
    ("toml",),
    ("psf_table",),
    ("priors",),
    ("prior_kinds",),
    ("maps",),
    ("model",),
    ("emulation",),
    ("observations",),
    ("inference",),
    ("analysis",),
    ("terminal",),
    ("choices",),
    ("config",),
    ("running",),
    ("surveys",),
    ("cli",),
)
"""From the core outwards. A part imports from earlier layers, and from itself."""
RANK = {part: rank for rank, layer in enumerate(LAYERS) for part in layer}
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def parts_imported(source: str, package: tuple[str, ...]) -> set[str]:
    """Parts of galfit_sr (first level) that a module in `package` imports, anywhere in it; "" is the top itself."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = node.module.split(".") if node.module else []
            base = [*package[: len(package) - node.level + 1], *module] if node.level else module
            names = [base] if len(base) > 1 else [[*base, alias.name] for alias in node.names]
        else:
            continue
        found |= {name[1] if len(name) > 1 else "" for name in names if name[0] == "galfit_sr"}
    return found


def upward(part: str, imported: set[str]) -> set[str]:
    """Those of the imported parts that `part` must not know."""
    return {other for other in imported if other != part and not RANK.get(other, len(LAYERS)) < RANK[part]}


def location(path: Path) -> tuple[str, tuple[str, ...]]:
    relative = path.relative_to(PACKAGE)
    return relative.parts[0].removesuffix(".py"), ("galfit_sr", *relative.parent.parts)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_inwards(path):
    part, package = location(path)
    assert part in RANK, f"{part} has no layer yet; add it to LAYERS"
    assert upward(part, parts_imported(path.read_text(encoding="utf-8"), package)) == set()


@pytest.mark.parametrize(
    "line",
    [
        "from ..analysis import report",
        "from .. import cli",
        "import galfit_sr.cli",
        "import galfit_sr",
        "from galfit_sr import fit",
        "from galfit_sr.inference.results import Posterior",
        "def f():\n    from ..inference.results import Posterior",
    ],
)
def test_an_upward_import_would_be_found(line):
    assert upward("model", parts_imported(line, ("galfit_sr", "model")))


@pytest.mark.parametrize("line", ["from .grid import Canvas", "from ..errors import InputError", "import jax"])
def test_a_downward_import_is_let_pass(line):
    assert not upward("model", parts_imported(line, ("galfit_sr", "model")))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_core_never_imports_the_emulators(path):
    roots = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            roots |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            roots.add(node.module.partition(".")[0])
    assert "galfit_sr_emulators" not in roots


def test_every_folder_is_installed():
    configuration = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    listed = set(configuration["tool"]["setuptools"]["packages"])
    found = [*PACKAGE.rglob("__init__.py"), *(ROOT / "emulators").rglob("__init__.py")]
    folders = {".".join(path.parent.relative_to(ROOT).parts) for path in found}
    renamed = {re.sub("^emulators", "galfit_sr_emulators", folder) for folder in folders}
    assert listed - {"galfit_sr_data"} == renamed


def test_public_names_exist():
    missing = [name for name in galfit_sr.__all__ if not hasattr(galfit_sr, name)]
    assert missing == []
    with pytest.raises(AttributeError, match="no attribute 'fitt'"):
        galfit_sr.fitt  # noqa: B018
