"""What the quality bits of the MaNGA pipelines say, in sentences (Law et al. 2016; Westfall et al. 2019)."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from .fits_input import FitsFile

DAP_QUALITY = {
    0: "a foreground star lies in the field; its spaxels are left out",
    1: "the catalogue redshift does not match the measured one",
    2: "no emission lines were found",
    3: "the spectral fit failed for this object",
    4: "Voronoi binning put all spectra into one bin",
    5: "the survey's photometric geometry (position angle, ellipticity, effective radius) is meaningless",
    28: "critical failure of the reduction; do not trust this cube",
    29: "critical failure of the analysis; do not trust these maps",
    30: "critical failure; do not use for science",
}
DRP_QUALITY = {
    1: "the target depth was not reached",
    2: "bad sky subtraction in one or more frames",
    3: "high scattered light in one or more frames",
    4: "bad astrometry in one or more frames",
    5: "the line spread function varies between the spectra that were combined",
    6: "atmospheric dispersion or guiding beyond the limit in one or more sets",
    7: "one or more sets of exposures are bad",
    8: "bad flux calibration",
    9: "the PSF estimate may be bad",
    10: "many dead fibres",
    12: "a blowtorch artefact in one or more frames",
    13: "a severe blowtorch artefact",
    14: "the cube is slightly unusual",
    30: "critical failure in one or more frames; do not use for science",
}
CRITICAL = {"DRP3QUAL": (30,), "DAPQUAL": (28, 29, 30)}
"""Bits with which the pipelines warn of any use."""
PIXEL_MASK = {
    0: "no coverage",
    1: "low coverage",
    2: "a dead fibre",
    3: "a foreground star",
    4: "no value",
    5: "an unreliable value",
    6: "a mathematical error",
    7: "a failed fit",
    8: "a fit at the edge of its range",
    9: "no correction",
    10: "several components",
}
LIGHT_MASK = 0b1111
"""Bits of the pixel mask that concern the light too: no or low coverage, dead fibre, foreground star."""
FOREGROUND_STAR = 1 << 3


def quality_notes(file: FitsFile) -> list[str]:
    """A sentence for every bit set in the header's quality words.

    Raises:
        InputError: a quality word is no number.
    """
    notes = []
    for key, meanings in (("DRP3QUAL", DRP_QUALITY), ("DAPQUAL", DAP_QUALITY)):
        value = file.optional_number(key, "a word of quality bits", 0, 2**31)
        if value is None:
            notes.append(f"The header has no {key}; the quality of the data is not known.")
            continue
        for bit in range(32):
            if int(value) >> bit & 1:
                notes.append(f"{_flag(key, bit)}{meanings.get(bit, 'unknown to this reader')}.")
    return notes


def critical(notes: Iterable[str]) -> list[str]:
    """Those of `quality_notes` on critical failures."""
    flags = tuple(_flag(key, bit) for key, bits in CRITICAL.items() for bit in bits)
    return [note for note in notes if note.startswith(flags)]


def _flag(key: str, bit: int) -> str:
    return f"{key} bit {bit}: "


def mask_notes(mask: np.ndarray, binned: np.ndarray) -> list[str]:
    """Sentences on spaxels behind a foreground star, and on binned spaxels that the pipeline masked, by reason.

    Args:
        mask: (ny, nx) int, STELLAR_VEL_MASK.
        binned: (ny, nx) bool, spaxels that belong to a bin.
    """
    notes = []
    stars = int(np.sum((mask & FOREGROUND_STAR) != 0))
    if stars:
        notes.append(f"{stars} spaxels are masked because of a foreground star, in light and kinematics.")
    for bit, meaning in PIXEL_MASK.items():
        count = int(np.sum(binned & ((mask >> bit) & 1 != 0)))
        if count and (1 << bit) != FOREGROUND_STAR:
            notes.append(f"{count} binned spaxels have no velocity because of {meaning}.")
    return notes
