"""The one printer of scores: which columns there are, what is in their cells, and tables as Markdown or HTML."""

import dataclasses
import html
from collections.abc import Iterable, Sequence
from typing import Any

from srgan_jax.metrics import METRICS, PROTOCOLS, Metric


@dataclasses.dataclass(frozen=True)
class Column:
    """One number of each picture: a metric, under a protocol where one defines it.

    Attributes:
      metric: the row of metrics.METRICS.
      protocol: name of the protocol, or None.
    """

    metric: Metric
    protocol: str | None = None

    @property
    def name(self) -> str:
        """What the column is called where there is room for a few letters: "matlab PSNR (dB)"."""
        return " ".join(filter(None, (self.protocol, self.metric.label)))

    @property
    def title(self) -> str:
        """The name with an arrow towards better values."""
        return " ".join(filter(None, (self.protocol, self.metric.title)))

    def value(self, scores: dict[str, Any]) -> Any:
        """Return the column's part of a picture's scores, of their mean, or of anything that is laid out like them."""
        return (scores[self.protocol] if self.protocol else scores)[self.metric.name]

    def cell(self, scores: dict[str, Any]) -> str:
        """Return the value as it is printed."""
        return self.metric.text(self.value(scores))


def columns_of(scores: dict[str, Any]) -> list[Column]:
    """Return the columns of some scores, whatever was computed; metrics that this version does not know are left out.

    Args:
      scores: of a picture, or their mean, as results.json has them: {protocol: {metric: value}, metric: value}.
    """
    protocols = [
        Column(METRICS[metric], protocol)
        for protocol in scores
        if protocol in PROTOCOLS
        for metric in scores[protocol]
        if metric in METRICS
    ]
    return protocols + [Column(METRICS[name]) for name in scores if name in METRICS]


@dataclasses.dataclass(frozen=True)
class Table:
    """Cells of text under a header."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]

    def markdown(self) -> str:
        """Return the table in Markdown."""
        header, *rows = (f"| {' | '.join(cells)} |" for cells in (self.header, *self.rows))
        return "\n".join([header, "|" + "---|" * len(self.header), *rows])

    def html(self) -> str:
        """Return the table in HTML, in a box of its own that scrolls where the page is narrow."""
        lines = [("th", self.header), *(("td", cells) for cells in self.rows)]
        rows = ("".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) for tag, cells in lines)
        return f'<div class="table"><table>{"".join(f"<tr>{row}</tr>" for row in rows)}</table></div>'


def scores_table(names: Sequence[str], rows: Iterable[tuple[Sequence[str], dict[str, Any]]]) -> Table:
    """Return a table of scores.

    Args:
      names: headers of the first columns.
      rows: (cells of the first columns, scores). The columns are those that all rows have.
    """
    rows = list(rows)
    columns = [column for column in columns_of(rows[0][1]) if all(column in columns_of(of) for _, of in rows)]
    cells = [[*first, *(column.cell(scores) for column in columns)] for first, scores in rows]
    return Table([*names, *(column.title for column in columns)], cells)


def notes(results: dict[str, Any]) -> list[tuple[str, str]]:
    """Return what the columns of a method's results mean, and where LR came from: (name, sentence)."""
    lines = [(name, f"{text}.") for name, text in results["protocols"].items()]
    columns = columns_of(next(iter(results["datasets"].values()))["mean"])
    for row in (column.metric for column in columns if not column.protocol):
        lines.append((row.label, f"{row.definition}; {row.direction}."))
    for name, scores in results["datasets"].items():
        lr = "LR " + ", ".join(f"border {v}" if k == "border" else v for k, v in scores["lr"].items() if v)
        if scores["cropped"]:
            lr += f"; {scores['cropped']} HR images cropped to a multiple of {results['scale']}"
        lines.append((name, f"{lr}."))
    return lines


def table(results: dict[str, Any]) -> str:
    """Return the means of a method's results as a Markdown table, with what its columns mean below it."""
    rows = [([name, str(scores["count"])], scores["mean"]) for name, scores in results["datasets"].items()]
    printed = scores_table(["set", "images"], rows).markdown()
    return "\n".join([printed, "", *(f"{name}: {text}" for name, text in notes(results))])
