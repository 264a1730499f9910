"""iSRCNN that sees the four maps at once, as channels."""

from galfit_sr.emulation.bundle import load_packaged
from galfit_sr.emulation.emulator import Emulator

from ..isrcnn.network import ISRCNN

NETWORK = ISRCNN(channels=4)


def load() -> Emulator:
    """The emulator, as trained."""
    return load_packaged(__name__, NETWORK)
