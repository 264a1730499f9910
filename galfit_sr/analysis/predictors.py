"""Full resolution and every emulator side by side: time per likelihood on this machine, and error on held-out maps."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
from rich.table import Table

from ..emulation.emulator import Emulator
from ..emulation.registry import all_emulators
from ..inference.fit import pose
from ..inference.likelihood import LikelihoodSettings
from ..inference.problem import Problem
from ..model.galaxy import GalaxyModel
from ..model.scene import FIDELITIES
from ..observations import mock_galaxy_path, read
from ..observations.mock import MOCK_THICKNESS, MOCK_TRUTH
from ..parameters import COMPONENT_NAMES
from ..progress import Progress
from .benchmark import BATCH, no_stored_programs, time_compiled, time_single
from .rendering import text


def compare_predictors(
    emulators: tuple[Emulator, ...] | None = None, progress: Progress | None = None
) -> list[dict[str, Any]]:
    """Times the likelihood of the bundled galaxy with each predictor, in single precision.

    Args:
        emulators: to be timed beside the model that they are for, in its two fidelities; all that are installed if not
            given.
        progress: called with stage, fraction done and what is timed.

    Returns:
        one row per predictor, ready for JSON: `predictor`, `weights` (numbers learnt), `compile_s`, `single_ms`,
        `batched_ms` (per galaxy, in batches), `gradient_ms`, `with_error_ms` (its own error counted;
        None for the model) and, from the card, `held_out` (None for the model).
    """
    report = progress or (lambda stage, fraction, detail: None)
    emulators = all_emulators() if emulators is None else emulators
    models = tuple(dict.fromkeys((COMPONENT_NAMES, *(e.card.recipe.components for e in emulators))))
    rows = []
    with jax.enable_x64(False), no_stored_programs():
        for i, (name, emulator, plain, aware) in enumerate(_problems(models, emulators)):
            report("predictors", i / (len(emulators) + len(FIDELITIES) * len(models)), name)
            rows.append(_row(name, emulator, plain, aware))
    report("predictors", 1.0, "")
    return rows


def _problems(
    models: tuple[tuple[str, ...], ...], emulators: tuple[Emulator, ...]
) -> Iterator[tuple[str, Emulator | None, Problem, Problem | None]]:
    """Name, emulator, and the problem without and with the emulator's error; emulators after their model."""
    galaxy = read(mock_galaxy_path())
    for components in models:
        thick = ", thick" if components != COMPONENT_NAMES else ""
        for fidelity in FIDELITIES:
            model = GalaxyModel(components, fidelity=fidelity)
            yield f"full resolution, {fidelity}{thick}", None, pose(galaxy, model=model), None
        for emulator in emulators:
            if emulator.card.recipe.components == components:
                plain, aware = (
                    pose(galaxy, emulator=emulator, likelihood=LikelihoodSettings(emulator_error=e))
                    for e in (False, True)
                )
                yield emulator.card.name, emulator, plain, aware


def _row(name: str, emulator: Emulator | None, plain: Problem, aware: Problem | None) -> dict[str, Any]:
    truth = {**MOCK_TRUTH, **MOCK_THICKNESS}
    theta = jnp.asarray(plain.target.prior.parameters.flatten(truth), jnp.float32)
    timed = time_compiled(plain.target.log_likelihood, theta, plain.arrays)
    gradient = time_single(jax.grad(plain.target.log_likelihood), theta, plain.arrays)
    with_error = None if aware is None else time_single(aware.target.log_likelihood, theta, aware.arrays)
    card = None if emulator is None else emulator.card
    return {
        "predictor": name,
        "weights": None if card is None else card.weights,
        **timed,
        "gradient_ms": gradient["single_ms"],
        "with_error_ms": None if with_error is None else with_error["single_ms"],
        "held_out": None if card is None else dict(card.held_out),
    }


def predictors_as_text(rows: list[dict[str, Any]]) -> str:
    """The rows of `compare_predictors` as a table for people."""
    table = Table(
        caption=(
            f"likelihood of the bundled galaxy, float32, in batches of {BATCH}; errors: rms over a held-out galaxy in"
            " units of typical noise (0.02 dex, 5 km/s, 5 km/s, 0.1), median / 90th percentile"
        )
    )
    table.add_column("predictor", no_wrap=True)
    for heading in ("weights", "one [ms]", f"of {BATCH} [ms]", "gradient [ms]", "with error [ms]"):
        table.add_column(heading, justify="right")
    for heading in ("error, map", "error, centre", "L1"):
        table.add_column(heading, justify="right")
    for row in rows:
        held_out = (row["held_out"] or {}).get("inside")
        table.add_row(
            row["predictor"],
            "" if row["weights"] is None else f"{row['weights']:,}",
            f"{row['single_ms']:.2f}",
            f"{row['batched_ms']:.2f}",
            f"{row['gradient_ms']:.2f}",
            "" if row["with_error_ms"] is None else f"{row['with_error_ms']:.2f}",
            *(_spread(held_out, region) for region in ("whole", "centre")),
            "" if held_out is None else f"{held_out['l1']:.2g}",
        )
    return text(table, 140)


def _spread(held_out: dict[str, Any] | None, region: str) -> str:
    return "" if held_out is None else "{median:.3g} / {p90:.3g}".format(**held_out["noise"][region])
