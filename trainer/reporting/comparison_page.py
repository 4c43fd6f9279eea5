"""`trainer compare --format html`: runs beside each other, with charts and links to their reports."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from trainer.output.html.charts import MAX_LINES, Chart, Point, line_chart, rounded
from trainer.output.html.render import render_page
from trainer.output.html.tile import Tile
from trainer.output.units import plural, span
from trainer.reporting.compare import ComparedRun, cells, numbers, shown_columns
from trainer.reporting.intervals import interval_95
from trainer.reporting.write import read_evaluations, read_metrics
from trainer.runs import layout
from trainer.runs.run_document import read_run
from trainer.storage import Store, open_store

OPENED_BY_BROWSERS = ("file://", "http://", "https://")
HIDDEN = ("run.url",)
"""Keys of the configuration that always differ."""


@dataclass(frozen=True)
class RunDetails:
    """What a comparison shows of a run beside its row.

    Attributes:
        url: of its folder.
        history: as in metrics.csv.
        config: its values by their dotted keys, as text.
        report: the URL of its report; "" where there is none that a browser can open.
        images: of each split that these weights were evaluated on.
    """

    url: str
    history: Sequence[Mapping[str, float]] = ()
    config: Mapping[str, str] = field(default_factory=dict)
    report: str = ""
    images: Mapping[str, int] = field(default_factory=dict)


def read_details(urls: Sequence[str], which: layout.WeightsName) -> list[RunDetails]:
    """The details of each run. Raises DataError where there is no run."""
    return [_details(open_store(url), which) for url in urls]


def _details(store: Store, which: layout.WeightsName) -> RunDetails:
    report = f"{store.url}/{layout.REPORT}"
    shown = report.startswith(OPENED_BY_BROWSERS) and any(True for _ in store.list(layout.REPORT))
    evaluations = [one for one in read_evaluations(store) if one["weights"] == which]
    images = {one["dataset"]["split"]: one["rows"] for one in evaluations}
    config = dict(_flat(read_run(store).config.model_dump(mode="json")))
    return RunDetails(store.url, read_metrics(store), config, report if shown else "", images)


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", _text(value)


def _text(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def comparison_page(rows: Sequence[ComparedRun], details: Sequence[RunDetails]) -> bytes:
    """One HTML file; `details` are those of the runs of `rows`."""
    names = labels([one.url for one in details])
    drawn = (
        _ranking(rows, details, names),
        _curves(details, names),
        _costs(rows, names),
        *size_charts(rows),
    )
    charts = [chart for chart in drawn if chart]
    columns = shown_columns(rows)
    differences = _differences(details)
    return render_page(
        "comparison.html",
        kind="Comparison",
        title=plural(len(rows), "run"),
        contents=[
            ("runs", "Runs"),
            *([("charts", "Charts")] if charts else []),
            *([("differences", "What differs")] if differences else []),
        ],
        tiles=_tiles(rows),
        heading=columns,
        runs=[
            {"cells": cells(row, columns), "report": one.report, "values": _sorted_by(row, columns)}
            for row, one in zip(rows, details, strict=True)
        ],
        numbers=numbers(columns),
        charts=charts,
        names=names,
        differences=differences,
    )


def _tiles(rows: Sequence[ComparedRun]) -> list[Tile]:
    measured = [row for row in rows if row["top 1"] is not None]
    splits = ", ".join(dict.fromkeys(row["split"] or "" for row in measured)) or "no split"
    tiles = [Tile("Evaluated", f"{len(measured)} of {len(rows)}", f"on {splits}")] if rows else []
    if measured:
        best = max(measured, key=lambda row: row["top 1"] or 0.0)
        tiles.insert(0, Tile("Best top 1", f"{best['top 1']:.1%}", f"{best['run']}, {best['network']}"))
    timed = [(seconds, row) for row in rows if (seconds := _seconds(row))]
    if timed:
        seconds, shortest = min(timed, key=lambda one: one[0])
        tiles.append(Tile("Shortest", span(seconds), f"{shortest['run']}, {shortest['network']}"))
    return tiles


def labels(urls: Sequence[str]) -> list[str]:
    """The last part of each URL, or as many as tell them apart; the same URL twice is numbered.

    >>> labels(["s3://a/cars/run", "s3://a/food/run"])
    ['cars/run', 'food/run']
    """
    distinct = len(set(urls))
    parts = [url.rstrip("/").split("/") for url in urls]
    short = ["/".join(part[-1:]) for part in parts]
    for count in range(2, max(map(len, parts), default=0) + 1):
        if len(set(short)) == distinct:
            break
        short = ["/".join(part[-count:]) for part in parts]
    return [
        name if name not in short[:number] else f"{name} ({number + 1})" for number, name in enumerate(short)
    ]


def _ranking(
    rows: Sequence[ComparedRun], details: Sequence[RunDetails], names: Sequence[str]
) -> Chart | None:
    measured = [
        (row["top 1"], row["network"], one.images.get(row["split"] or "", 0), name)
        for row, one, name in zip(rows, details, names, strict=True)
        if row["top 1"] is not None
    ]
    if not measured:
        return None
    measured.sort(key=lambda one: -one[0])
    ranked: list[dict[str, Any]] = []
    for top1, network, images, name in measured:
        low, high = interval_95(top1 * images, images) if images else (top1, top1)
        remark = f"{name}\n{network}: {top1:.2%}"
        ranked.append(
            {"name": name, "value": top1, "low": rounded(low), "high": rounded(high), "remark": remark}
        )
    words = ", ".join(f"{name} {top1:.1%}" for top1, _, _, name in measured)
    title = "top 1, with 95 % intervals"
    return Chart("ranking", title, f"Top 1 of each run: {words}", {"x": "", "rows": ranked})


def _curves(details: Sequence[RunDetails], names: Sequence[str]) -> Chart | None:
    """The validation accuracy of the first runs; the accuracy of those without."""
    series: dict[str, list[Point]] = {}
    for name, one in list(zip(names, details, strict=True))[:MAX_LINES]:
        metric = "val_accuracy" if any("val_accuracy" in epoch for epoch in one.history) else "accuracy"
        series[name] = [(n + 1.0, epoch[metric]) for n, epoch in enumerate(one.history) if metric in epoch]
    return line_chart("validation accuracy", series, "epoch", "", percent=True)


def _seconds(row: ComparedRun) -> float | None:
    """The time that a run took; its pauses count only where nothing else is known."""
    return row["without pauses"] or row["time"]


def _time_unit(longest: float) -> tuple[str, int]:
    """The unit in which times up to `longest` seconds are shown, and its seconds."""
    if longest > 7200:
        return "hours", 3600
    return ("minutes", 60) if longest > 120 else ("seconds", 1)


def _costs(rows: Sequence[ComparedRun], names: Sequence[str]) -> Chart | None:
    """Top 1 over the time that it took."""
    known = [
        (seconds, row["top 1"], name)
        for row, name in zip(rows, names, strict=True)
        if row["top 1"] is not None and (seconds := _seconds(row))
    ]
    if len(known) < 2:
        return None
    unit, divisor = _time_unit(max(seconds for seconds, _, _ in known))
    points = [
        {
            "name": name,
            "x": rounded(seconds / divisor),
            "y": top1,
            "number": number % MAX_LINES,
            "remark": f"{name}\n{top1:.2%} in {span(seconds)}",
        }
        for number, (seconds, top1, name) in enumerate(known)
    ]
    words = ", ".join(f"{name} {top1:.1%} in {span(seconds)}" for seconds, top1, name in known)
    values = {"x": unit, "y": "", "points": points}
    return Chart("scatter", f"top 1 by {unit}", f"Top 1 by time: {words}", values)


def size_charts(rows: Sequence[ComparedRun]) -> list[Chart]:
    """Top 1 and time by the size of the images, a line for each network; [] for images of one size."""
    if len({row["image size"] for row in rows}) < 2:
        return []
    top1: dict[str, list[Point]] = {}
    times: dict[str, list[Point]] = {}
    for row in rows:
        side = _side(row["image size"])
        if row["top 1"] is not None:
            top1.setdefault(row["network"], []).append((side, row["top 1"]))
        if seconds := _seconds(row):
            times.setdefault(row["network"], []).append((side, seconds))
    longest = max((seconds for points in times.values() for _, seconds in points), default=0)
    unit, divisor = _time_unit(longest)
    in_unit = {name: [(side, seconds / divisor) for side, seconds in p] for name, p in times.items()}
    drawn = (
        line_chart("top 1 by image size", _lines(top1), "pixels of a side", "", percent=True),
        line_chart(f"{unit} by image size", _lines(in_unit), "pixels of a side", ""),
    )
    return [chart for chart in drawn if chart]


def _lines(points: Mapping[str, list[Point]]) -> dict[str, list[Point]]:
    return {name: sorted(points[name]) for name in list(points)[:MAX_LINES]}


def _side(size: str) -> float:
    """The side of a square with as many pixels as "224x320"."""
    height, _, width = size.partition("x")
    return round(math.sqrt(int(height) * int(width)))


def _sorted_by(row: ComparedRun, columns: Sequence[str]) -> list[Any]:
    """What each column is sorted by: None where it is the text of its cell."""
    values = cast(Mapping[str, Any], row)
    by: dict[str, Any] = {name: values[name] for name in ("time", "without pauses", "cost")}
    by["image size"] = _side(row["image size"])
    return [("-" if by[name] is None else by[name]) if name in by else None for name in columns]


def _differences(details: Sequence[RunDetails]) -> list[tuple[str, ...]]:
    """Each key of the configuration whose values are not all the same, and these."""
    keys = list(dict.fromkeys(key for one in details for key in one.config))
    values = {key: [one.config.get(key, "-") for one in details] for key in keys if key not in HIDDEN}
    return [(key, *row) for key, row in values.items() if len(set(row)) > 1]
