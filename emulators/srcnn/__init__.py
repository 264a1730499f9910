"""SRCNN (Dong et al. 2014): three convolutions after bicubic upsampling."""

from galfit_sr.emulation.bundle import load_packaged
from galfit_sr.emulation.emulator import Emulator

from .network import SRCNN

NETWORK = SRCNN()


def load() -> Emulator:
    """The emulator, as trained."""
    return load_packaged(__name__, NETWORK)
