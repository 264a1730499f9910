"""Training: from a network and its settings to a bundle that knows how good it is."""

from __future__ import annotations

import dataclasses
import math
import os
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ..files import path_of
from ..progress import Progress
from ..toml import to_table
from .bundle import save_bundle
from .calibration import calibrate
from .card import Card
from .epochs import Learnt, learn
from .examples import drawn, stored
from .measures import measures, outside, residuals
from .network import Network, Weights, check_scale
from .scale_free import context_names
from .training_folder import Epoch, TrainingFolder
from .training_settings import Training


def train(
    name: str,
    network: Network,
    training: Training,
    folder: str | Path,
    *,
    data: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    max_seconds: float = math.inf,
    progress: Progress | None = None,
) -> Card:
    """Train a network and write its bundle.

    The weights with the least loss on the validation galaxies are kept. Ctrl-C ends training early, as `max_seconds`
    does: what was learnt is measured and saved, and training can go on from the last checkpoint.

    Args:
        name: of the network, for its card.
        network: hyperparameters.
        training: settings.
        folder: for the bundle; `training/` in it holds checkpoint and loss curve.
        data: a store of pairs to use instead of computing them; its recipe replaces that of the settings.
        resume: go on from the folder's checkpoint; the result is what an uninterrupted training gives.
        overwrite: give up what a training has left in the folder.
        max_seconds: no epoch is begun that would end later.
        progress: called with stage, fraction done and a few words.

    Returns:
        the card, as saved.

    Raises:
        InputError: settings, data or folder cannot be used, or the loss is not finite.
    """
    began = time.monotonic()
    folder = path_of("folder", folder)
    progress = progress or (lambda phrase, share, words: None)
    kind = (training.galaxies, training.validation, training.fresh)
    source = drawn(training.recipe, *kind) if data is None else stored(path_of("data", data), *kind)
    training = dataclasses.replace(training, recipe=source.recipe)
    check_scale(network, source.recipe)
    table = {"network": {"name": name, **to_table(network)}, **training.table()}
    home = TrainingFolder(folder, table)
    home.check(resume=resume, overwrite=overwrite)
    with jax.enable_x64(False):
        examples = source.examples(source.training(0), "training galaxies", progress)
        ranges = np.stack([f(examples.high, axis=(0, 1, 2)) for f in (np.min, np.max)])
        names = context_names(source.recipe.components)
        facts = {n: (float(c.min()), float(c.max())) for n, c in zip(names, examples.context.T, strict=True)}
        held_out = source.examples(source.validation, "validation galaxies", progress)
        learnt = learn(
            network,
            training,
            source,
            examples,
            held_out,
            ranges,
            home,
            resume=resume,
            deadline=began + max_seconds,
            progress=progress,
        )
        del examples
        progress("errors", None, "")
        weights = Weights(learnt.weights, ranges, None)
        residual = residuals(network, weights, held_out)
        inside = measures(residual, held_out, source.recipe)
        del residual, held_out
        beyond = outside(source.recipe, min(_OUTSIDE, training.validation))
        elsewhere = measures(residuals(network, weights, beyond), beyond, source.recipe)
        error, calibrated = calibrate(network, weights, source.recipe, training.validation, training.seed, progress)
        card = Card(
            name,
            training.description,
            source.recipe,
            network=table["network"],
            ranges=facts,
            training=_report(training, learnt, table),
            held_out={"inside": inside, "outside": elsewhere, "calibration": calibrated},
        )
    return save_bundle(folder, card, weights._replace(error=error))


_OUTSIDE = 1024
_POINTS = 24


def _report(training: Training, learnt: Learnt, table: dict[str, Any]) -> dict[str, Any]:
    """How it was trained, for the card; the loss curve at `_POINTS` epochs at most."""
    curve = learnt.curve
    report = {"ended": learnt.ended, "galaxies": training.galaxies, "validation": training.validation}
    if not curve:
        return report
    device = jax.devices()[0]
    cores = f", {os.cpu_count()} cores" if device.platform == "cpu" else ""
    best = min(curve, key=lambda row: row.validation)
    shown = np.unique(np.geomspace(1, len(curve), _POINTS).round().astype(int))
    columns = zip(*(curve[k - 1] for k in shown), strict=True)
    return {
        **report,
        "device": device.device_kind + cores,
        **{key: value for key, value in table.items() if key not in ("description", "recipe", "network")},
        "epochs": len(curve),
        "epochs_asked_for": training.epochs,
        "best_epoch": best.epoch,
        "validation_loss": float(f"{best.validation:.5g}"),
        "seconds": round(curve[-1].seconds),
        "curve": {
            name: [float(f"{value:.5g}") for value in column]
            for name, column in zip(Epoch._fields, columns, strict=True)
        },
    }
