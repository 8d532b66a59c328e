"""How far long work has come: a bar on a terminal, elsewhere a line now and then, nothing where quiet was asked for."""

import sys
import time

import tqdm

EVERY = 30.0  # seconds between two lines, where there is no terminal

_quiet = False


def be_quiet(quiet: bool = True) -> None:
    """Show no more progress, and say nothing, in the whole program; errors and warnings still come."""
    global _quiet
    _quiet = quiet


def say(text: str) -> None:
    """Print a line to the standard output, beside a bar that may be there; nothing where quiet was asked for."""
    if not _quiet:
        tqdm.tqdm.write(text)
        sys.stdout.flush()


def duration(seconds: float) -> str:
    """Write a time in its two largest units, such as "45 s", "4 min 20 s" or "3 h 5 min"."""
    seconds = round(seconds)
    for unit, length, smaller, smaller_length in (("d", 86400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1)):
        if seconds >= length:
            rest = seconds % length // smaller_length
            return f"{seconds // length} {unit}" + (f" {rest} {smaller}" if rest else "")
    return f"{seconds} s"


class Progress:
    """How far one piece of work has come.

    The rate, and the time that is left, are counted from the first unit that was done here: what comes before, such as
    compiling, happens once.

    Args:
      total: how many units there are, or None where that is not known.
      unit: the name of a unit, such as "step".
      done: how many were done before.
      decimals: of the number of units; for units that are done in parts.
      hidden: show nothing, as for all processes but the first.
    """

    def __init__(
        self, total: float | None, *, unit: str, done: float = 0, decimals: int = 0, hidden: bool = False
    ) -> None:
        self.total, self.unit, self.done, self._decimals = total, unit, done, decimals
        shown = not (hidden or _quiet)
        terminal = sys.stderr.isatty()
        self._lines = shown and not terminal
        n = f"{{n:.{decimals}f}}"
        layout = f"{{percentage:3.0f}}%|{{bar}}| {n}/{{total}} {unit}s [{{elapsed}}<{{remaining}}{{postfix}}]"
        self._bar = tqdm.tqdm(
            initial=done,
            total=total,
            unit=unit,
            bar_format=layout if total else None,
            dynamic_ncols=True,
            smoothing=0.05,
            disable=not (shown and terminal),
        )
        self._note, self._start, self._first = "", None, done
        self._last, self._printed = time.monotonic(), done

    def update(self, count: float = 1) -> None:
        """Count some more units as done."""
        self.done += count
        self._bar.update(count)
        now = time.monotonic()
        if self._start is None:
            self._start, self._first = now, self.done
        if self._lines and now - self._last >= EVERY:
            self._print()
            self._last = now

    def note(self, text: str) -> None:
        """Show a text, such as losses, behind the numbers."""
        self._note = text
        self._bar.set_postfix_str(text, refresh=False)

    def rate(self) -> float | None:
        """Return the units per second, or None as long as that is not known."""
        elapsed = 0 if self._start is None else time.monotonic() - self._start
        return (self.done - self._first) / elapsed if elapsed > 0 and self.done > self._first else None

    def line(self) -> str:
        """Return what a line says: units, share, rate, time left, and the note."""
        parts = [f"{self.unit} {self.done:.{self._decimals}f}"]
        if self.total:
            parts[0] += f"/{self.total:g} ({100 * self.done / self.total:.0f} %)"
        if rate := self.rate():
            parts.append(f"{rate:.3g} {self.unit}s/s" if rate >= 0.1 else f"{1 / rate:.3g} s/{self.unit}")
            if self.total and self.total > self.done:
                parts.append(f"{duration((self.total - self.done) / rate)} left")
        return ", ".join([*parts, *filter(None, [self._note])])

    def _print(self) -> None:
        print(self.line(), file=sys.stderr, flush=True)
        self._printed = self.done

    def close(self, *, last_line: bool = False) -> None:
        """End the bar; with `last_line`, a line says where the work stands, where lines are printed."""
        if last_line and self._lines and self.done != self._printed:
            self._print()
        self._lines = False
        self._bar.close()

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
