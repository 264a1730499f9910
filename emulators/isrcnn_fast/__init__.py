"""iSRCNN with a single transposed convolution of stride 4."""

from galfit_sr.emulation.bundle import load_packaged
from galfit_sr.emulation.emulator import Emulator

from ..isrcnn.network import ISRCNN

NETWORK = ISRCNN(upsampling=(4,))


def load() -> Emulator:
    """The emulator, as trained."""
    return load_packaged(__name__, NETWORK)
