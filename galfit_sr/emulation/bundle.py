"""Bundles: a folder with the weights of an emulator (safetensors) and its card (JSON), checked against each other."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Mapping
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from ..errors import InputError
from ..files import path_of, write_bytes, write_text
from .card import Card, read_card
from .emulator import Emulator
from .error import ErrorNetwork
from .network import Network, NetworkFunction, Weights, blank
from .scale_free import context_names

WEIGHTS, CARD = "weights.safetensors", "card.json"


def save_bundle(folder: Path, card: Card, weights: Weights) -> Card:
    """Write weights and card, each atomically, the card last.

    Returns:
        the card with the number of weights and their hash.

    Raises:
        InputError: they cannot be written.
    """
    tensors = {name: np.ascontiguousarray(array, dtype=np.float32) for name, array in _flat(weights._asdict(), ())}
    content = save(tensors)
    count = sum(a.size for name, a in tensors.items() if name.startswith("network."))
    card = dataclasses.replace(card, weights=count, sha256=hashlib.sha256(content).hexdigest())
    write_bytes(folder / WEIGHTS, content)
    write_text(folder / CARD, card.to_json())
    return card


def load_bundle(folder: str | Path, network: Network, more_facts: int = 0) -> Emulator:
    """The emulator in a folder.

    Args:
        folder: that `save_bundle` wrote.
        network: the hyperparameters that its weights belong to.
        more_facts: entries by which the context that its error is told is longer than `scale_free.context`.

    Raises:
        InputError: a file is missing or damaged, the hash differs, or the weights are not those of the network.
    """
    folder = path_of("folder", folder)
    card = load_card(folder)
    try:
        content = (folder / WEIGHTS).read_bytes()
    except OSError as error:
        raise InputError(f"{folder / WEIGHTS} cannot be read: {error.strerror}") from error
    if hashlib.sha256(content).hexdigest() != card.sha256:
        raise InputError(
            f"{folder / WEIGHTS} is not the file that its card was written for (other hash): truncated, tampered with,"
            " or of another training; install the emulator again"
        )
    try:
        tensors = load(content)
    except SafetensorError as error:
        raise InputError(f"{folder / WEIGHTS} is not a safetensors file: {error}") from error
    facts = len(context_names(card.recipe.components)) + more_facts
    learnt = ErrorNetwork(card.recipe.scale, _features(tensors), facts)
    return Emulator(card, NetworkFunction(network), _nested(tensors, network, learnt, folder))


def load_packaged(package: str, network: Network, more_facts: int = 0) -> Emulator:
    """The emulator whose bundle lies beside the modules of a package, by the package's name; see `load_bundle`."""
    with as_file(files(package)) as folder:
        return load_bundle(folder, network, more_facts)


def load_card(folder: Path) -> Card:
    """The card in a folder.

    Raises:
        InputError: it is missing or not a card.
    """
    try:
        text = (folder / CARD).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{folder / CARD} cannot be read: {error}") from error
    return read_card(text, str(folder / CARD))


def _flat(tree: Mapping[Any, Any], path: tuple[str, ...]) -> Iterator[tuple[str, np.ndarray]]:
    for key, value in tree.items():
        here = (*path, str(key))
        if isinstance(value, Mapping):
            yield from _flat(value, here)
        else:
            yield ".".join(here), value


def _features(tensors: Mapping[str, np.ndarray]) -> int:
    """Of the error's hidden layers, as a file has them."""
    kernel = tensors.get("error.last.kernel", np.empty(0))
    return kernel.shape[0] if kernel.ndim == 2 else ErrorNetwork.features


def _nested(tensors: Mapping[str, np.ndarray], network: Network, error: ErrorNetwork, folder: Path) -> Weights:
    blanks = {"network": blank(network), "error": blank(error)}
    wanted = {name: tuple(a.shape) for name, a in _flat(blanks, ())} | {"ranges": (2, 4)}
    for name, shape in wanted.items():
        found = tensors[name].shape if name in tensors else "nothing"
        if found != shape:
            raise InputError(f"{folder / WEIGHTS} has {found} for {name!r}; {network} needs an array of shape {shape}")
    if len(tensors) != len(wanted):
        raise InputError(f"{folder / WEIGHTS} holds {len(tensors)} arrays; {network} needs {len(wanted)}")
    filled = {name: _filled(tree, tensors, name) for name, tree in blanks.items()}
    return Weights(ranges=tensors["ranges"], **filled)


def _filled(tree: Mapping[Any, Any], tensors: Mapping[str, np.ndarray], path: str) -> dict[Any, Any]:
    return {
        key: _filled(value, tensors, f"{path}.{key}") if isinstance(value, Mapping) else tensors[f"{path}.{key}"]
        for key, value in tree.items()
    }
