"""Charts as SVG text that scales with the page."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from trainer.output.html.render import render

WIDTH, HEIGHT = 640, 300
LEFT, RIGHT, TOP, BOTTOM = 56, 12, 12, 44
COLOURS = ("#1b5e9e", "#c2410c", "#2f7d32", "#7b1fa2", "#8a6d00")
MAX_POINTS_WITH_DOTS = 60
MAX_CLASSES_WITH_NAMES = 20
MATRIX_SIDE = 560
MAX_NAME_CHARACTERS = 16

Point = tuple[float, float]


class AxisTick(NamedTuple):
    """A number on an axis: where it stands, in units of the SVG, and its text."""

    place: float
    text: str


class ChartLine(NamedTuple):
    """A line of a chart; its points in units of the SVG."""

    name: str
    colour: str
    points: Sequence[Point]

    @property
    def dots(self) -> Sequence[Point]:
        """The points, while they can be distinguished."""
        return self.points if len(self.points) <= MAX_POINTS_WITH_DOTS else ()


@dataclass(frozen=True, slots=True)
class MatrixCell:
    """A number of a confusion matrix: its place in units of the SVG, and its colours."""

    left: float
    top: float
    fill: str
    ink: str
    label: str
    predicted: str
    count: int


def line_chart(series: Mapping[str, Sequence[Point]], x: str, y: str, marks: Sequence[float] = ()) -> Markup:
    """Lines with their legend; `x` and `y` name the axes, `marks` are dashed at these values of x.

    Points that are not finite are left out; "" where none is left.
    """
    finite = {name: [p for p in points if all(map(math.isfinite, p))] for name, points in series.items()}
    finite = {name: points for name, points in finite.items() if points}
    if not finite:
        return Markup()
    xs, ys = zip(*(point for points in finite.values() for point in points), strict=True)
    columns, rows = ticks(min(xs), max(xs)), ticks(min(ys), max(ys))

    def across(value: float) -> float:
        return LEFT + (value - columns[0]) / (columns[-1] - columns[0]) * (WIDTH - LEFT - RIGHT)

    def down(value: float) -> float:
        return HEIGHT - BOTTOM - (value - rows[0]) / (rows[-1] - rows[0]) * (HEIGHT - TOP - BOTTOM)

    lines = [
        ChartLine(name, COLOURS[number % len(COLOURS)], [(across(a), down(b)) for a, b in points])
        for number, (name, points) in enumerate(finite.items())
    ]
    return render(
        "line_chart.html",
        frame=SimpleNamespace(
            width=WIDTH, height=HEIGHT, left=LEFT, right=WIDTH - RIGHT, top=TOP, bottom=HEIGHT - BOTTOM
        ),
        x=x,
        y=y,
        label=f"{', '.join(finite)} by {x}",
        lines=lines,
        horizontal=[AxisTick(across(value), f"{value:g}") for value in columns],
        vertical=[AxisTick(down(value), f"{value:g}") for value in rows],
        marks=[across(mark) for mark in marks],
    )


def ticks(low: float, high: float, limit: int = 6) -> list[float]:
    """Round numbers from at most `low` to at least `high`, evenly spaced; at least two.

    >>> ticks(0.12, 0.83)
    [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    """
    if not high > low:
        around = abs(low) / 2 or 0.5
        low, high = low - around, high + around
    raw = (high - low) / (limit - 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * nice for nice in (1, 2, 2.5, 5, 10) if power * nice >= raw * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(number * step, 12) for number in range(first, last + 1)]


def matrix(counts: NDArray[np.int64], names: Sequence[str]) -> Markup:
    """A confusion matrix: classes down, predictions across, the fraction of a class's rows as the shade.

    Up to 20 classes it has names and numbers; with more, the shades and titles alone.
    """
    named = len(names) <= MAX_CLASSES_WITH_NAMES
    margin, side = 110 if named else 20, MATRIX_SIDE / len(names)
    fractions = counts / np.maximum(1, counts.sum(1, keepdims=True))
    cells = [
        MatrixCell(
            left=margin + j * side,
            top=margin + i * side,
            fill=f"rgba({'27,94,158' if i == j else '194,65,12'},{0.1 + 0.9 * fractions[i, j]:.2f})",
            ink="#fff" if fractions[i, j] > 0.45 else "#1a1a1a",
            label=names[i],
            predicted=names[j],
            count=int(counts[i, j]),
        )
        for i, j in np.argwhere(counts).tolist()
    ]
    return render(
        "confusion_matrix.html",
        margin=margin,
        side=MATRIX_SIDE,
        cell_side=side,
        size=len(names),
        names=[_short(name) for name in names] if named else [],
        cells=cells,
    )


def _short(name: str) -> str:
    return name if len(name) <= MAX_NAME_CHARACTERS else f"{name[: MAX_NAME_CHARACTERS - 1]}…"
