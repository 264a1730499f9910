"""The emulator `conditioned`, for galaxies whose discs are thick and seen up to edge-on."""

from galfit_sr.emulation.emulator import Emulator

from ..conditioned import packaged


def load() -> Emulator:
    """The emulator."""
    return packaged(__name__)
