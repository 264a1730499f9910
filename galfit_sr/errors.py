"""The one exception a user's input can raise, and the sentence for a name that is not known."""

from difflib import get_close_matches


class InputError(ValueError):
    """Input that cannot be used.

    The message is one clear sentence that names the offending value and what is allowed. The command line prints it
    and exits with code 2; nothing has been written by then.
    """


def unknown_name(name: object, known: list[str], kind: str) -> str:
    """The sentence for an unknown name, with the nearest known one, or for what is no name."""
    near = get_close_matches(name, known, n=1, cutoff=0.5) if isinstance(name, str) else ()
    hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
    return f"unknown {kind} {name!r}; {hint}"
