"""What `galfit_sr` exports: nothing by accident, and nothing whose arguments, shapes and units are not told."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import tomllib
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

import galfit_sr as gs

ARRAYS = re.compile(r"\b(ndarray|Array|Maps)\b")
SHAPE = re.compile(r"\(\s*\w+\s*,(\s*\w+\s*,?)*\s*\)|\(\d?n\*n,?\)|scalar|one number per map")
UNITS = re.compile(r"\b(arcsec|kpc|km/s|rad|radian|degrees?|deg|dex|M_sun|L_sun|pixels|nats|seconds|units?|bool)\b")
PURE = re.compile(
    r"\b(factor|share|fraction|redshift|probability|ratio|log|weights?|chi2|number|numbers|labels?|rows|acceptance"
    r"|effective samples|independent samples|degrees of freedom)\b",
    re.IGNORECASE,
)
"""Of what has no unit."""
SECTIONS = ("Args", "Attributes", "Returns", "Raises")


class Told(NamedTuple):
    """A docstring taken apart: the text before the sections, and entries by name of each section."""

    text: str
    entries: dict[str, str]
    returns: str


def told(doc: str) -> Told:
    parts = re.split(rf"^({'|'.join(SECTIONS)}):\n", inspect.cleandoc(doc), flags=re.MULTILINE)
    sections = dict(zip(parts[1::2], parts[2::2], strict=True))
    entries = {}
    for body in (sections.get("Args", ""), sections.get("Attributes", "")):
        for head, text in re.findall(
            r"^    ((?:\w+)(?:, \w+)*): ((?:.*\n?)(?:^(?:        .*)?\n?)*)", body, re.MULTILINE
        ):
            entries |= dict.fromkeys(head.split(", "), text)
    return Told(parts[0], entries, sections.get("Returns", parts[0]))


def complaints(thing: Callable[..., Any], where: str) -> list[str]:
    """What the docstring of a function, or of a class with fields, leaves open."""
    doc = inspect.getdoc(thing) if not inspect.isclass(thing) else thing.__doc__
    if not doc or doc.startswith(f"{getattr(thing, '__name__', '')}("):
        return [f"{where} has no docstring"]
    known = told(doc)
    found = []
    for name, annotation in fields(thing).items():
        text = known.entries.get(name)
        if text is None and f"`{name}`" in known.text:
            text = known.text
        if text is None:
            text = referred(known.text, name)
        if text is None:
            found.append(f"{where} says nothing of {name}")
            continue
        text = f"{name.replace('_', ' ')}: {text}"
        if ARRAYS.search(annotation) and not SHAPE.search(text) and "see `" not in text and "as in `" not in text:
            found.append(f"{where}: {name} has no shape")
        elif re.search(r"\bfloat\b|ndarray|Array", annotation) and not (UNITS.search(text) or PURE.search(text)):
            found.append(f"{where}: {name} has no unit")
    given = "" if inspect.isclass(thing) else str(inspect.get_annotations(thing).get("return", ""))
    if re.search(r"ndarray|Array", given):
        if not SHAPE.search(known.returns):
            found.append(f"{where}: what it returns has no shape")
        if not (UNITS.search(known.returns) or PURE.search(known.returns) or "units" in doc):
            found.append(f"{where}: what it returns has no unit")
    return found


def fields(thing: Callable[..., Any]) -> dict[str, str]:
    """Name -> annotation, as text, of the arguments of a function or the fields of a class."""
    if inspect.isclass(thing):
        if dataclasses.is_dataclass(thing):
            return {f.name: str(f.type) for f in dataclasses.fields(thing) if not f.name.startswith("_")}
        return {name: str(thing.__annotations__.get(name, "")) for name in getattr(thing, "_fields", ())}
    signature = inspect.signature(thing)
    return {name: str(p.annotation) for name, p in signature.parameters.items() if name not in ("self", "cls")}


def referred(text: str, name: str) -> str | None:
    """The entry of an argument in the docstring of another public function, to which this one refers."""
    for other in re.findall(r"as for(?: a)? `(\w+)`", text):
        if other in gs.__all__:
            target = getattr(gs, other)
            target = target.__call__ if inspect.isclass(target) and name not in fields(target) else target
            found = told(inspect.getdoc(target) or "").entries.get(name)
            if found is not None:
                return found
    return None


def public() -> dict[str, Callable[..., Any]]:
    """Dotted name -> every exported function and class, and their public methods and properties."""
    found: dict[str, Callable[..., Any]] = {}
    for name in gs.__all__:
        thing = getattr(gs, name)
        if not callable(thing) or (not inspect.isclass(thing) and not inspect.isfunction(thing)):
            continue
        found[name] = thing
        for own, member in vars(thing).items() if inspect.isclass(thing) else ():
            if own.startswith("_") and own != "__call__":
                continue
            member = member.__func__ if isinstance(member, classmethod | staticmethod) else member
            member = member.fget if isinstance(member, property) else getattr(member, "func", member)
            if inspect.isfunction(member):
                found[f"{name}.{own}"] = member
    return found


@pytest.mark.parametrize("name", public())
def test_docstring_tells_arguments_shapes_and_units(name):
    assert complaints(public()[name], name) == []


def test_everything_is_looked_at():
    names = public()
    assert {
        "fit",
        "Posterior",
        "Posterior.weights",
        "Posterior.load",
        "Observation.plot",
        "GalaxyModel.__call__",
    } <= set(names)
    assert len(names) > 80


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: gs.Posterior.load(3), "path"),
        (lambda: gs.fit(None, out=3), "out"),
        (lambda: gs.survey([], 3), "out"),
        (lambda: gs.survey(["a.fits"], "survey", config=3), "config"),
        (lambda: gs.calibrate(32, out=3), "out"),
        (lambda: gs.load_bundle(3, None), "folder"),
        (lambda: gs.train("srcnn", None, None, 3), "folder"),
        (lambda: gs.train("srcnn", None, gs.Training(), "trained", data=3), "data"),
    ],
)
def test_what_is_no_path_is_refused(call, name):
    with pytest.raises(gs.InputError, match=f"^{name} is 3; the path of a file or folder is needed$"):
        call()


class TestTheCheckItself:
    """It must not be satisfied by just any text."""

    def test_nothing_said(self):
        def bare(x): ...

        assert complaints(bare, "f") == ["f has no docstring"]

    def test_argument_forgotten(self):
        def half(x: float, y: float) -> None:
            """Something.

            Args:
                x: in kpc.
            """

        assert complaints(half, "f") == ["f says nothing of y"]

    def test_shape_and_unit_forgotten(self):
        def vague(x: np.ndarray, y: float) -> np.ndarray:  # noqa: F821
            """The result.

            Args:
                x: some values.
                y: how far.
            """

        assert complaints(vague, "f") == [
            "f: x has no shape",
            "f: y has no unit",
            "f: what it returns has no shape",
            "f: what it returns has no unit",
        ]

    def test_all_said(self):
        def good(x: np.ndarray, y: float) -> np.ndarray:  # noqa: F821
            """(n,) velocities [km/s].

            Args:
                x: (n,) kpc, on
                    two lines.
                y: arcsec.
            """

        assert complaints(good, "f") == []


def test_nothing_is_exported_by_accident():
    visible = {
        name for name, value in vars(gs).items() if not name.startswith("_") and not isinstance(value, types.ModuleType)
    }
    assert visible <= set(gs.__all__)
    assert dir(gs) == sorted(gs.__all__)


def test_type_checkers_see_the_same_names():
    tree = ast.parse(Path(gs.__file__).read_text(encoding="utf-8"))
    typed = {
        alias.asname
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.level
        for alias in node.names
    }
    assert typed == set(gs.__all__) - {"__version__"}


def test_citation_file_is_complete_and_of_this_version():
    root = Path(gs.__file__).parents[1]
    citation = yaml.safe_load((root / "CITATION.cff").read_text(encoding="utf-8"))
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert (citation["version"], citation["license"]) == (project["version"], project["license"])
    for reference in citation["references"]:
        assert {"type", "title", "authors", "year"} <= set(reference), reference["title"]
        published = {"journal", "volume", "start"} <= set(reference)
        assert published or reference.get("url", "").startswith("https://"), reference["title"]
        assert re.match(r"10\.\d{4,}/", reference.get("doi", "10.1000/"))
    first = {(one["authors"][0].get("family-names"), one["year"]) for one in citation["references"]}
    assert {("Kuijken", 1989), ("Chen", 2012), ("Veach", 1995), ("Owen", 2000)} <= first
