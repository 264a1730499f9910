"""iSRCNN: FSRCNN with a skip connection, two transposed convolutions and a bicubic residual."""

from galfit_sr.emulation.bundle import load_packaged
from galfit_sr.emulation.emulator import Emulator

from .network import ISRCNN

NETWORK = ISRCNN()


def load() -> Emulator:
    """The emulator, as trained."""
    return load_packaged(__name__, NETWORK)
