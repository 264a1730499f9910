"""Results in the forms that files and terminals take: plain JSON, text tables, PNG."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping
from typing import Any

import matplotlib.figure
import numpy as np
from rich.console import Console, RenderableType


class Figure(matplotlib.figure.Figure):
    """A figure that notebooks show, whether or not pyplot, which tells them how, is loaded."""

    def _repr_png_(self) -> bytes:
        return png(self, 120)


def plain(value: Any) -> Any:
    """The same in mappings, lists, numbers, texts and None; numbers that do not exist are None."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def json_text(value: Any) -> str:
    """A JSON document of plain values, with a newline at its end."""
    return json.dumps(plain(value), indent=1, allow_nan=False) + "\n"


def text(content: RenderableType, width: int) -> str:
    """What rich would print on a terminal of `width` columns without colours, newline at the end left out."""
    stream = io.StringIO()
    Console(file=stream, width=width).print(content)
    return stream.getvalue().rstrip("\n")


def png(figure: matplotlib.figure.Figure, dpi: int) -> bytes:
    """The figure as an image."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=dpi)
    return stream.getvalue()
