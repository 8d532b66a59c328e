"""The exceptions that commands print as one sentence. Any other exception is a defect and keeps its traceback."""

import difflib
import pathlib
from collections.abc import Iterable


def printable(text: object) -> str:
    """Return a text as one line without control characters, so that no name of a file can command a terminal.

    Line breaks, control characters, and bytes of a name that are no UTF-8 become escapes such as "\\n" and "\\x1b".
    """
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in str(text))


class InputError(ValueError):
    """The input is wrong. The message names the file or field and says what was expected, what came, and what to do.

    The message is one printable line, whatever names stand in it.
    """

    def __str__(self) -> str:
        return printable(super().__str__())


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


def install(extra: str) -> str:
    """Write how to install an extra: by its file in a checkout, by its name elsewhere."""
    file = pathlib.Path(__file__).parents[1] / f"requirements-{extra}.txt"
    return f"pip install -r {file.name}" if file.exists() else f"pip install 'srgan-jax[{extra}]'"


class Interrupted(Exception):
    """A signal (SIGTERM or SIGINT) told a run to stop. The state of the run is saved."""


class NonFiniteError(RuntimeError):
    """A loss, gradient or array of the state is not finite. The state that holds it was not saved."""
