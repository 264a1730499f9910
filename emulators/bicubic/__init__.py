"""Bicubic upsampling: the baseline, which learns nothing."""

from galfit_sr.emulation.bundle import load_packaged
from galfit_sr.emulation.emulator import Emulator

from .network import Bicubic

NETWORK = Bicubic()


def load() -> Emulator:
    """The emulator, with its measured errors."""
    return load_packaged(__name__, NETWORK)
