"""How long work tells how far it has come."""

from collections.abc import Callable

Progress = Callable[[str, float | None, str], None]
"""Called with a stage, the share of it that is done (None if unknown) and a few words."""
