"""What scripts print as one sentence. Any other exception is a defect and keeps its traceback."""

import difflib


class InputError(ValueError):
    """Bad input: the message says which file or field, what was expected, what came, and what to do."""


def nearest_name(name: str, known) -> str:
    """The end of a message about an unknown name: the nearest known one, or all of them."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"choose from {', '.join(known)}."


class Interrupted(Exception):
    """A run was told to stop, by SIGTERM or SIGINT; its state is saved."""


class NonFiniteError(RuntimeError):
    """A loss or gradient is not finite; nothing of it was saved."""
