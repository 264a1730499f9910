"""How the objects of the core draw and show themselves, without knowing the code that draws."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Found by name when it is first needed, as a plugin is: the core imports no figures, and runs without them.
_VIEWS = "galfit_sr.analysis.views"


class Shown:
    """An object that a notebook shows as a table, and that `plot` draws."""

    def _draw(self, *arguments: Any) -> Figure:
        """The figure that the views have for an object of this class."""
        return import_module(_VIEWS).figure(self, *arguments)

    def _repr_html_(self) -> str:
        return import_module(_VIEWS).html(self)
