"""How long work tells how far it has come."""

from collections.abc import Callable

Progress = Callable[[str, float | None, str], None]
"""Called with a stage, the share of it that is done (None if unknown) and a few words."""


def one_of(progress: Progress | None, number: int, count: int) -> Progress | None:
    """Progress of one of several like things, told as that of all."""
    if progress is None or count == 1:
        return progress

    def told(phrase: str, share: float | None, words: str) -> None:
        progress(phrase, None if share is None else (number + share) / count, f"{number + 1} of {count}: {words}")

    return told
