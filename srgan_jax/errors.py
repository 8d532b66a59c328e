"""The exceptions that commands print as one sentence. Any other exception is a defect and keeps its traceback."""

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """The input is wrong. The message names the file or field and says what was expected, what came, and what to do."""


def nearest_name(name: str, known: Iterable[str]) -> str:
    """Write the end of a message about an unknown name.

    Args:
      name: the unknown name, such as "foldr".
      known: the names to choose from.

    Returns:
      A question that offers the nearest known name ("did you mean 'folder'?"), or a list of all known names where none
      is near.
    """
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"choose from {', '.join(known)}."


class Interrupted(Exception):
    """A signal (SIGTERM or SIGINT) told a run to stop. The state of the run is saved."""


class NonFiniteError(RuntimeError):
    """A loss, gradient or array of the state is not finite. The state that holds it was not saved."""
