"""The catalogue of a survey: one row a galaxy, and with several models another table with one row a model."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.table import Column, QTable, Table

from ..files import write_bytes, write_text
from ..maps import MAP_NAMES, MAP_WORDS
from ..parameters import COMPONENT_NAMES, JITTER, default_parameters
from .outcome import WAITING, Outcome
from .plan import Galaxy, Plan, run_folder
from .quantities import DERIVED, Described

CATALOGUE, MODELS = "catalogue", "models"
"""Names of the two tables' files, without ending."""
_QUANTILES = {"": ("q50", "median of the posterior"), "_16": ("q16", "16 % quantile"), "_84": ("q84", "84 % quantile")}
_PARAMETERS = {p.name: Described(p.unit, p.description) for p in (*default_parameters(COMPONENT_NAMES), JITTER)}

Cell = tuple[str, Any, str, str]
"""Name of a column, value, unit, description."""


def catalogue(plan: Plan, outcomes: Mapping[str, Outcome]) -> Table:
    """One row a galaxy, in the plan's order, those that are not done included.

    A galaxy with several models is described by the one that the evidence prefers; the evidences of all stand side by
    side. Numbers that are not there are NaN; every column has its unit and description.
    """
    known = _known(outcomes)
    rows = []
    for galaxy in plan.galaxies:
        outcome = outcomes.get(galaxy.name) or Outcome(galaxy.name, WAITING)
        chosen = outcome.chosen
        variant, held = chosen or ("", {})
        rows.append(
            [
                *_head(plan, galaxy, outcome),
                *(_preference(plan, outcome) if plan.variants else ()),
                *_numbers(held, known),
                *_provenance(plan, galaxy, variant if chosen else None, held),
            ]
        )
    return _table(rows, plan)


def models(plan: Plan, outcomes: Mapping[str, Outcome]) -> Table:
    """One row a galaxy and model, of those that are fitted; columns as in `catalogue`."""
    known = _known(outcomes)
    rows = []
    for galaxy in plan.galaxies:
        outcome = outcomes.get(galaxy.name)
        if outcome is None:
            continue
        preference = outcome.preference
        for variant, held in outcome.models.items():
            is_preferred = preference is not None and preference.variant == variant
            rows.append(
                [
                    ("name", galaxy.name, "", "name of the galaxy"),
                    ("variant", variant, "", "components of the model"),
                    ("preferred", is_preferred, "", "whether the evidence is the highest of the galaxy's models"),
                    *_numbers(held, known),
                    *_provenance(plan, galaxy, variant, held),
                ]
            )
    return _table(rows, plan)


def write_catalogue(folder: Path, plan: Plan, outcomes: Mapping[str, Outcome]) -> None:
    """Writes catalogue.fits and catalogue.ecsv, and models.* where there are several models; each whole or not at all.

    Raises:
        InputError: a file cannot be written.
    """
    tables = {CATALOGUE: catalogue(plan, outcomes)}
    if plan.variants and any(outcome.models for outcome in outcomes.values()):
        tables[MODELS] = models(plan, outcomes)
    for name, table in tables.items():
        text = io.StringIO()
        table.write(text, format="ascii.ecsv")
        write_text(folder / f"{name}.ecsv", text.getvalue())
        write_bytes(folder / f"{name}.fits", fits_bytes(table, name))


def fits_bytes(table: Table, name: str) -> bytes:
    r"""A FITS file with the table.

    astropy reads units and descriptions back as they were; for TOPCAT, which does not know how, descriptions stand in
    TCOMM as well. There is no unit in FITS for logarithms: they are told in brackets. Nor are there letters beyond
    ASCII: they are written as in Python, \xe9.
    """
    table = table.copy()
    for heading, column in table.items():
        if column.dtype.kind == "U":
            plain = [str(text).encode("ascii", "backslashreplace").decode() for text in column]
            table[heading] = Column(plain, unit=column.unit, description=column.description)
    stream = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of units that are not FITS's
        QTable(table).write(stream, format="fits")
    hdus = fits.open(io.BytesIO(stream.getvalue()))
    hdus[1].name = name.upper()
    for number, column in enumerate(table.itercols(), start=1):
        unit = "" if column.unit is None or f"TUNIT{number}" in hdus[1].header else f" [{column.unit}]"
        hdus[1].header[f"TCOMM{number}"] = f"{column.description}{unit}"
    stream = io.BytesIO()
    hdus.writeto(stream)
    return stream.getvalue()


def _known(outcomes: Mapping[str, Outcome]) -> tuple[list[str], list[str]]:
    """Parameters and derived quantities of any fit, in their usual order."""
    held = [record for outcome in outcomes.values() for record in outcome.models.values()]
    return tuple(  # type: ignore[return-value]
        [name for name in order if any(name in record[kind] for record in held)]
        for kind, order in (("parameters", _PARAMETERS), ("derived", DERIVED))
    )


def _head(plan: Plan, galaxy: Galaxy, outcome: Outcome) -> Iterator[Cell]:
    right_ascension, declination = outcome.sky or (np.nan, np.nan)
    yield "name", galaxy.name, "", "name of the galaxy and of its folder"
    yield "file", galaxy.file, "", "data"
    yield "status", outcome.status, "", "done, failed, or waiting (not fitted yet)"
    yield "reason", outcome.reason, "", "of a failure"
    yield "ra", right_ascension, "deg", "right ascension, as the data say"
    yield "dec", declination, "deg", "declination, as the data say"


def _preference(plan: Plan, outcome: Outcome) -> Iterator[Cell]:
    best = outcome.preference
    margin, error = (np.nan, np.nan) if best is None else (_or_nan(best.margin), _or_nan(best.error))
    yield "preferred", "" if best is None else best.variant, "", "model with the highest evidence; the row's numbers"
    yield "preferred_by", margin, "", "log evidence above that of the second model (natural logarithm)"
    yield "preferred_by_error", error, "", "standard deviation of preferred_by"
    yield "decided", best is not None and best.decided, "", "whether preferred_by exceeds 1 and twice its error"
    for variant in plan.variants:
        held = outcome.models.get(variant, {})
        name = variant.replace("+", "_")
        yield f"log_evidence_{name}", _or_nan(held.get("log_evidence")), "", f"log evidence of {variant}"
        yield f"log_evidence_error_{name}", _or_nan(held.get("log_evidence_error")), "", "standard deviation of it"


def _numbers(held: Mapping[str, Any], known: tuple[list[str], list[str]]) -> Iterator[Cell]:
    yield "redshift", _or_nan(held.get("redshift")), "", "of the data"
    for kind, names, meanings in zip(("parameters", "derived"), known, (_PARAMETERS, DERIVED), strict=True):
        for name in names:
            row = held.get(kind, {}).get(name, {})
            for ending, (key, what) in _QUANTILES.items():
                yield name + ending, _or_nan(row.get(key)), meanings[name].unit, f"{meanings[name].description}; {what}"
    for name in MAP_NAMES:
        value = _or_nan(held.get("reduced_chi2", {}).get(name))
        yield f"reduced_chi2_{name}", value, "", f"reduced chi^2 of the {MAP_WORDS[name]} at the best sample"
    yield "log_evidence", _or_nan(held.get("log_evidence")), "", "log evidence (natural logarithm)"
    yield "log_evidence_error", _or_nan(held.get("log_evidence_error")), "", "standard deviation of log_evidence"
    size = _or_nan(held.get("effective_sample_size"))
    yield "effective_samples", size, "", "independent samples that the posterior is worth"
    yield (
        "converged",
        bool(held.get("converged", False)),
        "",
        "whether the sampler ended by itself, its tests passed",
    )
    sentences = held.get("warnings", ())
    yield "flags", len(sentences), "", "number of warnings"
    yield "warnings", " | ".join(sentences), "", "what a reader should see before the numbers"


def _provenance(plan: Plan, galaxy: Galaxy, variant: str | None, held: Mapping[str, Any]) -> Iterator[Cell]:
    path = "" if variant is None else run_folder(Path(), galaxy.name, variant).as_posix()
    yield "run", path, "", "folder of the fit, from that of the survey"
    yield "version", held.get("version", plan.version), "", "of galfit_sr"
    yield "configuration", plan.hash, "", "digest (SHA-256) of the survey's configuration"


def _or_nan(value: float | None) -> float:
    return np.nan if value is None else float(value)


def _table(rows: list[list[Cell]], plan: Plan) -> Table:
    table = Table(meta={"VERSION": plan.version, "CONFIG": plan.hash[:16]})
    for cells in zip(*rows, strict=True):
        name, _, unit, description = cells[0]
        table[name] = Column([cell[1] for cell in cells], unit=unit or None, description=description)
    return table
