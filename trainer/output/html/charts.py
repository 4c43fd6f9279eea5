"""Charts as values that a page's script draws, with a description for those who do not see them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

Point = tuple[float, float]
ChartKind = Literal["lines", "histogram", "calibration", "ranking", "scatter"]

MAX_LINES = 8
"""Lines of a chart that have a colour of their own in the style sheet."""


class ChartMark(NamedTuple):
    """A vertical line at `x` with its text; "" for none."""

    x: float
    text: str


@dataclass(frozen=True)
class Bar:
    """A row of a bar chart: `percent` is the width of its bar, `remark` a second number."""

    name: str
    value: str
    percent: float
    remark: str = ""


@dataclass(frozen=True)
class Chart:
    """A chart.

    Attributes:
        kind: the function of the script that draws it.
        title: above it.
        description: what it shows, in words.
        legend: the names of its lines, where there are several.
        values: what is drawn, as JSON.
    """

    kind: ChartKind
    title: str
    description: str
    values: Mapping[str, Any]
    legend: Sequence[str] = ()


def line_chart(
    title: str,
    series: Mapping[str, Sequence[Point]],
    x: str,
    y: str,
    marks: Sequence[ChartMark] = (),
    *,
    percent: bool = False,
) -> Chart | None:
    """Lines; `x` and `y` name the axes, and `percent` shows fractions as such.

    Points that are not finite are left out; None where none is left.
    """
    finite = {name: [p for p in points if all(map(math.isfinite, p))] for name, points in series.items()}
    finite = {name: points for name, points in finite.items() if points}
    if not finite:
        return None
    words = [
        f"{name} from {_number(p[0][1], percent)} to {_number(p[-1][1], percent)}"
        for name, p in finite.items()
    ]
    marked = [f"{mark.text} at {x} {mark.x:g}" for mark in marks if mark.text]
    return Chart(
        "lines",
        title,
        f"{title} by {x}: {'; '.join(words + marked)}",
        {
            "x": x,
            "y": y,
            "percent": percent,
            "lines": [
                {"name": name, "points": [[rounded(a), rounded(b)] for a, b in points]}
                for name, points in finite.items()
            ],
            "marks": [mark._asdict() for mark in marks],
        },
        list(finite) if len(finite) > 1 else (),
    )


def histogram(title: str, counts: Sequence[int], x: str, y: str) -> Chart | None:
    """How many of something have a value in each of the equal parts of 0 to 1; None where there are none."""
    if not sum(counts):
        return None
    top = max(range(len(counts)), key=counts.__getitem__)
    bounds = [(i / len(counts), (i + 1) / len(counts)) for i in range(len(counts))]
    most = f"most, {counts[top]:,}, from {bounds[top][0]:.1f} to {bounds[top][1]:.1f}"
    return Chart(
        "histogram",
        title,
        f"{title}: {sum(counts):,} {y}; {most}",
        {"x": x, "y": y, "bars": [[*bound, count] for bound, count in zip(bounds, counts, strict=True)]},
    )


def rounded(value: float) -> float:
    """Six significant digits, which is more than a chart shows."""
    return float(f"{value:.6g}")


def _number(value: float, percent: bool) -> str:
    return f"{value:.1%}" if percent else f"{value:.4g}"
