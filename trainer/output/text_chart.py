"""Curves of a few characters, for a terminal."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

Point = tuple[float, float]
MARKS = "*o+x"
"""The characters of the curves, in turn."""
MIN_COLUMNS = 20


def text_chart(
    title: str, series: Mapping[str, Sequence[Point]], *, width: int = 80, height: int = 16
) -> list[str]:
    """The lines of a chart: title, at most `height` lines of up to `width` characters, and the axis.

    Points have ascending x; those that are not finite are left out. Between points a curve is straight.
    """
    finite = {name: [p for p in points if all(map(math.isfinite, p))] for name, points in series.items()}
    finite = {name: points for name, points in finite.items() if points}
    marks = {name: MARKS[number % len(MARKS)] for number, name in enumerate(finite)}
    heading = "   ".join([title, *(f"{mark} {name}" for name, mark in marks.items())])
    if not finite:
        return [heading, "no values"]
    xs = [x for points in finite.values() for x, _ in points]
    ys = [y for points in finite.values() for _, y in points]
    labels = {0: f"{max(ys):.4g}", height - 1: f"{min(ys):.4g}"}
    margin = max(map(len, labels.values()))
    columns = max(MIN_COLUMNS, width - margin - 2)
    cells = [[" "] * columns for _ in range(height)]
    for name, points in finite.items():
        for column in range(columns if max(xs) > min(xs) else 1):
            x = min(xs) + (max(xs) - min(xs)) * column / (columns - 1)
            if points[0][0] <= x <= points[-1][0]:
                fraction = (_between(points, x) - min(ys)) / (max(ys) - min(ys) or 1)
                cells[round((1 - fraction) * (height - 1))][column] = marks[name]
    rows = [f"{labels.get(n, ''):>{margin}} |{''.join(row)}".rstrip() for n, row in enumerate(cells)]
    first, last = f"{min(xs):g}", f"{max(xs):g}"
    ends = first if first == last else f"{first}{last:>{columns - len(first)}}"
    return [heading, *rows, f"{'':>{margin}} +{'-' * columns}", f"{'':>{margin + 2}}{ends}"]


def _between(points: Sequence[Point], x: float) -> float:
    """The height at `x` of the straight lines between the points."""
    for (left, low), (right, high) in pairwise(points):
        if left <= x <= right and right > left:
            return low + (high - low) * (x - left) / (right - left)
    return points[-1][1]
