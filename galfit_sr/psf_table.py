"""Point spread functions as TOML and JSON write them: a table with a kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .errors import InputError
from .psf import PSF, DoubleGaussianPSF, GaussianPSF, ImagePSF, MoffatPSF
from .toml import from_table, to_table

PSF_KINDS: dict[str, type] = {
    "gaussian": GaussianPSF,
    "double-gaussian": DoubleGaussianPSF,
    "moffat": MoffatPSF,
    "image": ImagePSF,
}


def read_psf(table: Mapping[str, Any], section: str) -> PSF:
    """The PSF of a table such as { kind = "moffat", fwhm = 2.5, beta = 3.0 }.

    Args:
        table: kind and fields.
        section: its name, for messages.

    Raises:
        InputError: an unknown kind or key, or a value that is not allowed.
    """
    kind = table.get("kind")
    if kind not in PSF_KINDS:
        raise InputError(f"[{section}] kind = {kind!r}; one of {', '.join(map(repr, PSF_KINDS))} is needed")
    return from_table(PSF_KINDS[kind], {k: v for k, v in table.items() if k != "kind"}, section)


def psf_table(psf: PSF) -> dict[str, Any]:
    """The table of a PSF; `read_psf` reverses it."""
    kind = next(k for k, cls in PSF_KINDS.items() if isinstance(psf, cls))
    return {"kind": kind, **to_table(psf)}
