"""Which emulators are installed: ours and anybody's, found through the entry points of packages."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping
from functools import lru_cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from ..errors import InputError, unknown_name
from ..toml import from_table
from .bundle import CARD, load_bundle, load_card
from .emulator import Emulator
from .network import Network

GROUP = "galfit_sr.emulators"
"""Entry-point group; each entry is a function without arguments that returns an `Emulator`."""


def installed() -> Mapping[str, EntryPoint]:
    """Name -> entry point of every emulator that some package offers."""
    return {entry.name: entry for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name)}


def find_emulator(emulator: str | os.PathLike[str] | Emulator) -> Emulator:
    """The emulator of a name, or of a folder that `galfit-sr train` wrote; an `Emulator` is given back as it is.

    Args:
        emulator: one of the three.

    Raises:
        InputError: no such emulator (the nearest is named), or one that cannot be loaded.
    """
    if isinstance(emulator, Emulator):
        return emulator
    if isinstance(emulator, os.PathLike):
        emulator = os.fspath(emulator)
    if not isinstance(emulator, str):
        raise InputError(f"the emulator is {emulator!r}; a name or an Emulator is needed")
    known = installed()
    if emulator in known:
        return _load(known[emulator])
    if (Path(emulator) / CARD).is_file():
        return _load_folder(Path(emulator))
    if Path(emulator).is_dir():
        raise InputError(
            f"{emulator} holds no emulator: it has no {CARD}; a folder that `galfit-sr train` wrote is needed"
        )
    raise InputError(unknown_name(emulator, list(known), "emulator"))


def find_network(name: str) -> tuple[Network, Traversable]:
    """The network behind an emulator's name, and its training recipe; it need not have been trained.

    The module of its entry point says so in `NETWORK`, and has a `train.toml` beside it.

    Raises:
        InputError: no such emulator, or one that is not a network which can be trained here.
    """
    known = installed()
    if name not in known:
        raise InputError(unknown_name(name, list(known), "emulator"))
    try:
        module = import_module(known[name].module)
    except Exception as error:
        raise _failure(known[name], error) from error
    if not hasattr(module, "NETWORK"):
        raise InputError(f"emulator {name!r} ({known[name].value}) has no network that can be trained here")
    return module.NETWORK, files(module) / "train.toml"


def all_emulators() -> tuple[Emulator, ...]:
    """Every installed emulator that loads; those that do not are named in a warning and left out."""
    found = []
    for entry in installed().values():
        try:
            found.append(_load(entry))
        except InputError as error:
            warnings.warn(str(error), RuntimeWarning, stacklevel=2)
    return tuple(found)


@lru_cache
def _load(entry: EntryPoint) -> Emulator:
    try:
        make: Callable[[], Emulator] = entry.load()
        made = make()
    except InputError as error:
        raise InputError(f"emulator {entry.name!r} cannot be used: {error}") from error
    except Exception as error:
        # A plugin can fail in any way, and none may break the rest.
        raise _failure(entry, error) from error
    if not isinstance(made, Emulator):
        raise InputError(f"emulator {entry.name!r} ({entry.value}) gave {made!r}; an Emulator is needed")
    return made


def _load_folder(folder: Path) -> Emulator:
    table = dict(load_card(folder).network)
    name = table.pop("name", None)
    if not isinstance(name, str):
        raise InputError(f"{folder / CARD} does not name a network; only the package that made it can load it")
    network, _ = find_network(name)
    return load_bundle(folder, from_table(type(network), table, f"{folder / CARD}: network"))


def _failure(entry: EntryPoint, error: Exception) -> InputError:
    return InputError(f"emulator {entry.name!r} ({entry.value}) cannot be loaded: {type(error).__name__}: {error}")
