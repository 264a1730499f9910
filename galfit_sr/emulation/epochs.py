"""Epochs: passes through the examples until the validation galaxies say that nothing more is to be had."""

from __future__ import annotations

import math
import time
from typing import Any, NamedTuple

import jax
import numpy as np
from optax.contrib import reduce_on_plateau

from ..errors import InputError
from ..progress import Progress
from .examples import Examples, Source
from .learning import Descent, State, begin, learn_from, mean_loss, steps_at_once
from .network import Network
from .training_folder import Epoch, TrainingFolder
from .training_settings import Training

SECONDS_BETWEEN_CHECKPOINTS = 60.0
_STEPS_BETWEEN_REPORTS = 8


class Learnt(NamedTuple):
    """What training gave.

    Attributes:
        weights: those with the least validation loss, nested dictionaries of NumPy arrays.
        curve: one row per epoch.
        ended: why.
    """

    weights: Any
    curve: list[Epoch]
    ended: str


class _Run(NamedTuple):
    """What a checkpoint holds."""

    state: State
    plateau: Any
    best: Any


def learn(
    network: Network,
    training: Training,
    source: Source,
    examples: Examples,
    held_out: Examples,
    ranges: np.ndarray,
    home: TrainingFolder,
    *,
    resume: bool,
    deadline: float,
    progress: Progress,
) -> Learnt:
    """Train until the epochs, the progress, or the time are at their end, or Ctrl-C is pressed.

    The learning rate falls when the validation loss has not for a while (`optax.contrib.reduce_on_plateau`). A network
    without weights is given back as it is.

    Args:
        network: hyperparameters.
        training: settings.
        source: of fresh examples.
        examples: of the first epoch.
        held_out: validation galaxies.
        ranges: (2, 4) see `network.Weights`.
        home: for checkpoint and loss curve.
        resume: go on from its checkpoint.
        deadline: on the clock of `time.monotonic`; no epoch is begun that would end later.
        progress: called with stage, fraction done and a few words.

    Raises:
        InputError: the loss is not finite from the start, or the folder cannot be used.
        KeyboardInterrupt: before the first epoch was complete.
    """
    descent = Descent(network, training.loss, training.learning_rate, training.beta1, training.beta2)
    plateau = reduce_on_plateau(training.factor, training.patience)
    state = begin(descent, training.seed)
    if not jax.tree.leaves(state.weights):
        return Learnt(state.weights, [], "nothing to learn")
    run = _Run(state, plateau.init({}), _copied(state.weights))
    curve: list[Epoch] = []
    home.open(resume=resume)
    restored = home.restore(run) if resume else None
    if restored is not None:
        run, curve = restored
    best = _copied(run.best)
    on_device = jax.device_put(ranges)
    examples, held_out = jax.device_put((examples, held_out))
    saved = time.monotonic()
    try:
        while (ended := _ended(training, curve, deadline)) is None:
            began, epoch = time.monotonic(), len(curve)
            if source.fresh and epoch:
                examples = jax.device_put(source.examples(source.training(epoch), "fresh galaxies", progress))
            rate = run.plateau.scale
            state, found = _epoch(descent, training, run.state, on_device, examples, rate, curve, progress)
            judged = mean_loss(descent, state.weights, on_device, held_out, training.batch)
            if not math.isfinite(found + judged):
                if not curve:
                    raise InputError(f"the loss is {found} after the first epoch; choose a smaller learning_rate")
                return Learnt(best, curve, "loss no longer finite")
            if judged < min((row.validation for row in curve), default=math.inf):
                best = _copied(state.weights)
            run = _Run(state, plateau.update({}, run.plateau, value=judged)[1], best)
            seconds = time.monotonic() - began + (curve[-1].seconds if curve else 0.0)
            curve.append(Epoch(epoch + 1, found, judged, float(rate), round(seconds, 3)))
            home.write_curve(curve)
            if time.monotonic() - saved > SECONDS_BETWEEN_CHECKPOINTS:
                home.save(len(curve), run)
                saved = time.monotonic()
    except KeyboardInterrupt:
        if not curve:
            raise
        # The state may be half a step on; the last checkpoint is whole.
        return Learnt(best, curve, "interrupted")
    home.save(len(curve), run)
    return Learnt(best, curve, ended)


def _epoch(
    descent: Descent,
    training: Training,
    state: State,
    ranges: jax.Array,
    examples: Examples,
    rate: jax.Array,
    curve: list[Epoch],
    progress: Progress,
) -> tuple[State, float]:
    """One pass through the examples in an order of its own; state afterwards and mean loss."""
    steps = training.galaxies // training.batch
    order = np.random.default_rng([training.seed, len(curve)]).permutation(training.galaxies)
    batches = order[: steps * training.batch].reshape(steps, training.batch)
    size = steps_at_once(steps)
    found = []
    for done in range(size, steps + 1, size):
        state, loss = learn_from(descent, state, ranges, examples, batches[done - size : done], rate)
        found.append(loss)
        if done % _STEPS_BETWEEN_REPORTS == 0 or done == steps:
            last = f", validation {curve[-1].validation:.5f}" if curve else ""
            share = (len(curve) + done / steps) / training.epochs
            progress("epochs", share, f"{len(curve) + 1} of {training.epochs}, loss {float(loss[-1]):.5f}{last}")
    return state, float(np.mean(jax.device_get(found), dtype=np.float64))


def _ended(training: Training, curve: list[Epoch], deadline: float) -> str | None:
    """Why no further epoch is to begin, or None."""
    if len(curve) >= training.epochs:
        return "all epochs"
    if not curve:
        return None
    best = int(np.argmin([row.validation for row in curve]))
    if len(curve) - 1 - best >= training.stop_after:
        return "no progress"
    last = curve[-1].seconds - (curve[-2].seconds if len(curve) > 1 else 0.0)
    return "time" if time.monotonic() + last > deadline else None


def _copied(weights: Any) -> Any:
    """As NumPy arrays of their own: a step uses the memory of the weights before it."""
    return jax.tree.map(lambda array: np.array(array), weights)
