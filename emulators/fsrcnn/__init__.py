"""FSRCNN (Dong et al. 2016): convolutions of few pixels, then a transposed one."""

from galfit_sr.emulation.bundle import load_packaged
from galfit_sr.emulation.emulator import Emulator

from .network import FSRCNN

NETWORK = FSRCNN()


def load() -> Emulator:
    """The emulator, as trained."""
    return load_packaged(__name__, NETWORK)
