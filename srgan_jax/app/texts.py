"""What the page says while it works and afterwards, as HTML in which every name is escaped."""

import html
from collections.abc import Sequence

from srgan_jax.app.archives import Line
from srgan_jax.app.enlarging import Figure
from srgan_jax.app.jobs import Progress
from srgan_jax.progress import duration

STYLE = """
.srgan .bar { height: .7rem; border-radius: .35rem; overflow: hidden; background: var(--border-color-primary); }
.srgan .bar div { height: 100%; background: #1765ad; }
.srgan table { border-collapse: collapse; border: 0; width: 100%; }
.srgan tr td, .srgan tr th { border: 0; border-bottom: 1px solid var(--border-color-primary); padding: .3rem .5rem; }
.srgan td, .srgan th { text-align: right; }
.srgan td:first-child, .srgan th:first-child { text-align: left; overflow-wrap: anywhere; }
.srgan small { display: block; font-weight: normal; opacity: .8; }
.srgan .wrong { color: #b91c1c; }
.dark .srgan .wrong { color: #fca5a5; }
"""


def working(progress: Progress) -> str:
    """Say how far a job is, with the time that is left."""
    if progress.cancelled:
        said = "Cancelled; the tile that is being computed is the last one."
    elif progress.left is None:
        said = f"{duration(progress.elapsed)} so far. The time left is known once the first tile is computed."
    elif progress.share >= 1 or progress.left == 0:
        said = f"{progress.share:.0%}. Nearly done: the result is corrected, measured and written."
    else:
        said = f"{progress.share:.0%}, about {duration(progress.left)} left."
    percent = f"{100 * progress.share:.0f}"
    bar = f'<div class="bar" role="progressbar" aria-valuenow="{percent}"><div style="width:{percent}%"></div></div>'
    return _box(f"{bar}<div>{said}</div>")


def note(text: str) -> str:
    """Return a sentence as HTML."""
    return _box(html.escape(text))


def wrong(text: str) -> str:
    """Return a sentence about something that went wrong as HTML."""
    return _box(f'<div class="wrong" role="alert">{html.escape(text)}</div>')


def figures(rows: Sequence[Figure]) -> str:
    """Return the table of figures as HTML."""
    lines = "".join(
        f"<tr><td>{html.escape(row.label)}<small>{html.escape(row.definition)}</small></td>"
        f"<td>{row.bicubic}</td><td><b>{row.ours}</b></td></tr>"
        for row in rows
    )
    return _box(f"<table><tr><th>figure</th><th>bicubic</th><th>result</th></tr>{lines}</table>")


def lines(rows: Sequence[Line]) -> str:
    """Return a table of what became of each file of an archive, as HTML."""
    kind = {False: "", True: "wrong"}
    cells = "".join(
        f'<tr><td>{html.escape(row.name)}</td><td class="{kind[row.failed]}">{html.escape(row.said)}</td></tr>'
        for row in rows
    )
    return _box(f"<table>{cells}</table>")


def megabytes(size: int) -> str:
    """Say a number of bytes in words."""
    return f"{size / 1e6:.1f} MB"


def _box(content: str) -> str:
    return f'<div class="srgan">{content}</div>'
