"""Charts as SVG text that scales with the page."""

import math
from collections.abc import Callable, Mapping, Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT = 640, 300
LEFT, RIGHT, TOP, BOTTOM = 56, 12, 12, 44
COLOURS = ("#1b5e9e", "#c2410c", "#2f7d32", "#7b1fa2", "#8a6d00")

Point = tuple[float, float]


def line_chart(series: Mapping[str, Sequence[Point]], x: str, y: str, marks: Sequence[float] = ()) -> str:
    """Lines with their legend; `x` and `y` name the axes, `marks` are dashed at these values of x.

    Points that are not finite are left out; "" where none is left.
    """
    lines = {name: [p for p in points if all(map(math.isfinite, p))] for name, points in series.items()}
    lines = {name: points for name, points in lines.items() if points}
    if not lines:
        return ""
    xs, ys = zip(*(point for points in lines.values() for point in points), strict=True)
    across, up = ticks(min(xs), max(xs)), ticks(min(ys), max(ys))

    def place(point: Point) -> Point:
        return (
            LEFT + (point[0] - across[0]) / (across[-1] - across[0]) * (WIDTH - LEFT - RIGHT),
            HEIGHT - BOTTOM - (point[1] - up[0]) / (up[-1] - up[0]) * (HEIGHT - TOP - BOTTOM),
        )

    parts = [_axes(across, up, place, x, y)]
    for mark in marks:
        at = place((mark, up[0]))[0]
        parts.append(f"<line x1='{at:.1f}' x2='{at:.1f}' y1='{TOP}' y2='{HEIGHT - BOTTOM}' class='mark'/>")
    for number, points in enumerate(lines.values()):
        colour = COLOURS[number % len(COLOURS)]
        path = " ".join(f"{a:.1f},{b:.1f}" for a, b in map(place, points))
        dots = "".join(
            f"<circle cx='{a:.1f}' cy='{b:.1f}' r='2.5' fill='{colour}'/>"
            for a, b in (map(place, points) if len(points) <= 60 else ())
        )
        parts.append(f"<polyline points='{path}' fill='none' stroke='{colour}' stroke-width='2'/>{dots}")
    legend = "".join(
        f"<span><i style='background:{COLOURS[n % len(COLOURS)]}'></i>{escape(name)}</span>"
        for n, name in enumerate(lines)
    )
    label = escape(f"{', '.join(lines)} by {x}")
    return (
        f"<figure class='chart'><svg viewBox='0 0 {WIDTH} {HEIGHT}' role='img' aria-label='{label}'>"
        f"{''.join(parts)}</svg><figcaption class='legend'>{legend}</figcaption></figure>"
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


def _axes(
    across: Sequence[float], up: Sequence[float], place: Callable[[Point], Point], x: str, y: str
) -> str:
    parts = []
    for value in up:
        at = place((across[0], value))[1]
        parts.append(f"<line x1='{LEFT}' x2='{WIDTH - RIGHT}' y1='{at:.1f}' y2='{at:.1f}' class='grid'/>")
        parts.append(f"<text x='{LEFT - 6}' y='{at + 4:.1f}' text-anchor='end'>{value:g}</text>")
    for value in across:
        at = place((value, up[0]))[0]
        parts.append(f"<text x='{at:.1f}' y='{HEIGHT - BOTTOM + 18}' text-anchor='middle'>{value:g}</text>")
    middle = (HEIGHT - BOTTOM + TOP) / 2
    parts.append(f"<text x='{(WIDTH + LEFT) / 2}' y='{HEIGHT - 6}' text-anchor='middle'>{escape(x)}</text>")
    parts.append(
        f"<text x='14' y='{middle}' text-anchor='middle' transform='rotate(-90 14 {middle})'>"
        f"{escape(y)}</text>"
    )
    return "".join(parts)


def matrix(counts: NDArray[np.int64], names: Sequence[str]) -> str:
    """A confusion matrix: classes down, predictions across, the fraction of a class's rows as the shade.

    Up to 20 classes it has names and numbers; of more the shades and titles alone.
    """
    size, named = len(names), len(names) <= 20
    margin = 110 if named else 20
    side = 560 / size
    fractions = counts / np.maximum(1, counts.sum(1, keepdims=True))
    parts = []
    for i, j in np.argwhere(counts).tolist():
        fraction, left, top = fractions[i, j], margin + j * side, margin + i * side
        colour = "27,94,158" if i == j else "194,65,12"
        title = escape(f"{names[i]} predicted as {names[j]}: {counts[i, j]}")
        parts.append(
            f"<rect x='{left:.2f}' y='{top:.2f}' width='{side:.2f}' height='{side:.2f}' "
            f"fill='rgba({colour},{0.1 + 0.9 * fraction:.2f})'><title>{title}</title></rect>"
        )
        if named:
            ink = "#fff" if fraction > 0.45 else "#1a1a1a"
            parts.append(
                f"<text x='{left + side / 2:.1f}' y='{top + side / 2 + 4:.1f}' text-anchor='middle' "
                f"fill='{ink}'>{counts[i, j]}</text>"
            )
    for i, name in enumerate(names if named else ()):
        at = margin + (i + 0.5) * side
        short = escape(name if len(name) <= 16 else f"{name[:15]}…")
        parts.append(f"<text x='{margin - 6}' y='{at + 4:.1f}' text-anchor='end'>{short}</text>")
        parts.append(f"<text transform='translate({at + 4:.1f} {margin - 6}) rotate(-60)'>{short}</text>")
    whole = margin + 560 + 10
    frame = f"<rect x='{margin}' y='{margin}' width='560' height='560' fill='none' stroke='#999'/>"
    words = "" if named else f"<text x='{margin}' y='14'>{size} classes down, predictions across</text>"
    return (
        f"<figure class='chart'><svg viewBox='0 0 {whole} {whole}' role='img' "
        f"aria-label='confusion matrix'>{words}{''.join(parts)}{frame}</svg></figure>"
    )
