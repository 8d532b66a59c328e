"""Drawings as SVG files: a scatter plot whose labels do not overlap, and curves in panels."""

import dataclasses
import html
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

WIDTH, HEIGHT = 760, 520  # pixels of the whole drawing
LEFT, RIGHT, TOP, BOTTOM = 70, 20, 40, 60  # pixels around the axes
SIZE = 13  # of labels, pixels
LETTER = 0.61 * SIZE  # width of an average letter
COLOURS = ("#1765ad", "#c2410c", "#15803d", "#7e22ce", "#b91c1c", "#0f766e", "#be185d")
GREY = "#8a8a8a"

# Panels of curves: how many stand beside each other, their sizes, and what is around their axes, in pixels.
COLUMNS, PANEL_WIDTH, PANEL_HEIGHT = 3, 360, 230
PANEL_LEFT, PANEL_RIGHT, PANEL_TOP, PANEL_BOTTOM = 58, 12, 30, 26
LINE_HEIGHT = 20  # of the title and the legend

Box = tuple[float, float, float, float]  # left, top, right, bottom
Place = tuple[float, float]


@dataclasses.dataclass(frozen=True)
class Point:
    """A labelled point; `faint` ones are drawn in grey."""

    label: str
    x: float
    y: float
    faint: bool = False


@dataclasses.dataclass(frozen=True)
class Axis:
    """A range of values and the pixels that show it; `first` is where `low` lies."""

    low: float
    high: float
    first: float
    last: float

    def __call__(self, value: float) -> float:
        """Return where a value lies."""
        return self.first + (value - self.low) / (self.high - self.low) * (self.last - self.first)

    def ticks(self, least: int = 5) -> Iterator[tuple[float, str]]:
        """Round values within the range, from `least` to about twice as many, and their texts."""
        rough = (self.high - self.low) / least
        power = math.floor(math.log10(rough))
        step = max(factor * 10**power for factor in (1, 2, 5) if factor * 10**power <= rough)
        for n in range(math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9) + 1):
            yield n * step, f"{n * step:.{max(0, -math.floor(math.log10(step)))}f}"


def axis(values: Iterable[float], first: float, last: float) -> Axis:
    """Return an axis on which the values lie with some room around them."""
    values = list(values)
    room, largest = (max(values) - min(values)) * 0.08, max(map(abs, values))
    if room <= 1e-9 * largest:  # one value, but for rounding
        room = largest * 0.08 or 1
    return Axis(min(values) - room, max(values) + room, first, last)


def scatter(
    points: Sequence[Point],
    curves: Sequence[tuple[str, Sequence[Sequence[float]]]],
    *,
    title: str,
    x_label: str,
    y_label: str,
    note: str = "",
) -> str:
    """Draw points and curves.

    Args:
      points: the first come first where labels compete for room.
      curves: (label, places of its dots in order).
      title: above the axes.
      x_label, y_label: of the axes.
      note: a line below the drawing.

    Returns:
      The text of an SVG file.
    """
    everything = [(p.x, p.y) for p in points] + [place for _, places in curves for place in places]
    x_axis = axis((x for x, _ in everything), LEFT, WIDTH - RIGHT)
    y_axis = axis((y for _, y in everything), HEIGHT - BOTTOM, TOP)
    parts = [
        *_opened(WIDTH, HEIGHT),
        _text(LEFT, TOP - 16, title, 'font-weight="bold"'),
        _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - BOTTOM + 36, x_label, 'text-anchor="middle"'),
        _text(
            0, 0, y_label, f'text-anchor="middle" transform="translate(16 {(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)"'
        ),
        _text(LEFT, HEIGHT - 6, note, f'font-size="{SIZE - 2}" fill="{GREY}"'),
        *_grid(x_axis, y_axis),
    ]
    taken = [_around(x_axis(x), y_axis(y), 5) for x, y in everything]
    names = []
    for (label, places), colour in zip(curves, itertools.cycle(reversed(COLOURS)), strict=False):
        places = [(x_axis(x), y_axis(y)) for x, y in places]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        parts += [_dot(x, y, 2.5, colour) for x, y in places]
        taken += [_around((a + c) / 2, (b + d) / 2, 4) for (a, b), (c, d) in itertools.pairwise(places)]
        names.append((label, *places[len(places) // 2], colour))
    colours = itertools.cycle(COLOURS)
    for point in points:
        colour = GREY if point.faint else next(colours)
        names.append((point.label, x_axis(point.x), y_axis(point.y), colour))
    parts += [_dot(x, y, 5, colour) for _, x, y, colour in reversed(names[len(curves) :])]  # the first on top
    for label, x, y, colour in names:
        box, anchor = min(_places(label, x, y), key=lambda place: _crowding(place[0], taken))
        taken.append(box)
        start = {"start": box[0], "middle": (box[0] + box[2]) / 2, "end": box[2]}[anchor]
        parts.append(_text(start, box[3] - 3, label, f'text-anchor="{anchor}" fill="{colour}"'))
    return "\n".join([*parts, "</svg>\n"])


@dataclasses.dataclass(frozen=True)
class Curve:
    """A curve: the places of what was measured in order, and behind them in pale `raw` ones that were smoothed."""

    places: Sequence[Place]
    raw: Sequence[Place] = ()


def panels(curves: Mapping[str, Mapping[str, Curve]], *, title: str, x_label: str) -> str:
    """Draw curves in panels beside and below each other, which share their colours and the range of x.

    Args:
      curves: {title of a panel: {label: curve}}; a label has one colour in all panels, and a curve at least one place.
      title: above all panels.
      x_label: what x is.

    Returns:
      The text of an SVG file.
    """
    labels = list(dict.fromkeys(label for panel in curves.values() for label in panel))
    colours = dict(zip(labels, itertools.cycle(COLOURS), strict=False))
    legend, lines = [], 1
    x = float(LEFT // 2)
    width = min(COLUMNS, len(curves)) * PANEL_WIDTH
    for label in labels:
        length = 34 + LETTER * len(label)
        if legend and x + length > width:
            x, lines = float(LEFT // 2), lines + 1
        y = 14 + LINE_HEIGHT * lines
        legend.append(f'<line x1="{x}" y1="{y}" x2="{x + 18}" y2="{y}" stroke="{colours[label]}" stroke-width="3"/>')
        legend.append(_text(x + 23, y + 4, label, ""))
        x += length
    top = LINE_HEIGHT * (lines + 1) + 10
    height = top + PANEL_HEIGHT * math.ceil(len(curves) / COLUMNS) + LINE_HEIGHT
    steps = [x for panel in curves.values() for curve in panel.values() for x, _ in curve.places]
    parts = [
        *_opened(width, height),
        _text(LEFT // 2, LINE_HEIGHT - 3, title, 'font-weight="bold"'),
        *legend,
        _text(width / 2, height - 6, x_label, 'text-anchor="middle"'),
    ]
    for number, (name, panel) in enumerate(curves.items()):
        row, column = divmod(number, COLUMNS)
        left, upper = column * PANEL_WIDTH + PANEL_LEFT, top + row * PANEL_HEIGHT + PANEL_TOP
        right, lower = (column + 1) * PANEL_WIDTH - PANEL_RIGHT, top + (row + 1) * PANEL_HEIGHT - PANEL_BOTTOM
        x_axis = axis(steps, left, right)
        y_axis = axis((y for curve in panel.values() for _, y in (*curve.places, *curve.raw)), lower, upper)
        parts += [_text(left, upper - 8, name, 'font-weight="bold"'), *_grid(x_axis, y_axis, _short, columns=3)]
        for label, curve in panel.items():
            for places, width_of_line in ((curve.raw, '1" opacity=".25'), (curve.places, "1.5")):
                at = [(x_axis(x), y_axis(y)) for x, y in places]
                line = " ".join(f"{x:.1f},{y:.1f}" for x, y in at)
                if len(at) == 1:
                    parts.append(_dot(*at[0], 3, colours[label]))
                elif at:
                    parts.append(
                        f'<polyline points="{line}" fill="none" stroke="{colours[label]}" '
                        f'stroke-width="{width_of_line}"/>'
                    )
    return "\n".join([*parts, "</svg>\n"])


def _opened(width: float, height: float) -> list[str]:
    """Return the beginning of a drawing on white."""
    return [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
        f'font-size="{SIZE}" fill="#222">',
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
    ]


def _short(value: float, text: str) -> str:
    """Return the text of a tick where there is little room: 200k, 1.5M, 2.5e-5."""
    for least, unit, letter in ((1e6, 1e6, "M"), (1e4, 1e3, "k")):
        if abs(value) >= least:
            return f"{value / unit:g}{letter}"
    return f"{value:.3g}".replace("e-0", "e-") if 0 < abs(value) < 1e-3 else text


def _grid(
    x_axis: Axis, y_axis: Axis, words: Callable[[float, str], str] = lambda value, text: text, *, columns: int = 5
) -> Iterator[str]:
    """Yield lines and texts of the axes: at least so many columns, with `words` of (value, text)."""
    for value, text in x_axis.ticks(columns):
        yield _line(x_axis(value), y_axis.last, x_axis(value), y_axis.first)
        yield _text(x_axis(value), y_axis.first + 17, words(value, text), 'text-anchor="middle"')
    for value, text in y_axis.ticks():
        yield _line(x_axis.first, y_axis(value), x_axis.last, y_axis(value))
        yield _text(x_axis.first - 7, y_axis(value) + 4, words(value, text), 'text-anchor="end"')


def _places(label: str, x: float, y: float) -> Iterator[tuple[Box, str]]:
    """Yield boxes for the label of a point and its text-anchor, the nearest and most usual first."""
    width, height = LETTER * len(label), SIZE + 2
    for distance in (8, 20, 34):
        for dx, dy in ((1, 0), (-1, 0), (0, -1), (0, 1), (1, -1), (1, 1), (-1, -1), (-1, 1)):
            far = distance / math.hypot(dx, dy)
            left, top = _start(x + far * dx, width, dx), _start(y + far * dy, height, dy)
            yield (left, top, left + width, top + height), {1: "start", 0: "middle", -1: "end"}[dx]


def _start(place: float, length: float, side: int) -> float:
    """Return where something begins that lies before (-1), around (0) or behind (1) a place."""
    return place - length * (1 - side) / 2


def _crowding(box: Box, taken: Iterable[Box]) -> float:
    """Return how many square pixels of other things a label would cover; much if it left the axes."""
    inside = _common(box, (LEFT, TOP, WIDTH - RIGHT, HEIGHT - BOTTOM))
    outside = (box[2] - box[0]) * (box[3] - box[1]) - inside
    return 10 * outside + sum(_common(box, other) for other in taken)


def _common(a: Box, b: Box) -> float:
    return max(0, min(a[2], b[2]) - max(a[0], b[0])) * max(0, min(a[3], b[3]) - max(a[1], b[1]))


def _around(x: float, y: float, radius: float) -> Box:
    return x - radius, y - radius, x + radius, y + radius


def _dot(x: float, y: float, radius: float, colour: str) -> str:
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" fill="{colour}"/>'


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="#e4e4e4"/>'


def _text(x: float, y: float, text: str, attributes: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" {attributes}>{html.escape(text)}</text>'
