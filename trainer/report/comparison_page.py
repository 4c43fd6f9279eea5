"""`trainer compare --format html`: runs beside each other, with charts and links to their reports."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from trainer.output.html.charts import MAX_LINES, Chart, line_chart, rounded
from trainer.output.html.render import render_page
from trainer.output.html.tile import Tile
from trainer.output.units import plural, span
from trainer.report.compare import COLUMNS, NUMBERS, ComparedRun, cells
from trainer.report.intervals import interval_95
from trainer.report.write import read_evaluations, read_metrics
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
        history: as in metrics.csv.
        config: its values by their dotted keys, as text.
        report: the URL of its report; "" where there is none that a browser can open.
        images: of the split that was evaluated; 0 where it was not.
    """

    history: Sequence[Mapping[str, float]] = ()
    config: Mapping[str, str] = field(default_factory=dict)
    report: str = ""
    images: int = 0


def read_details(urls: Sequence[str], split: str, which: layout.WeightsName) -> list[RunDetails]:
    """The details of each run. Raises DataError where there is no run."""
    return [_details(open_store(url), split, which) for url in urls]


def _details(store: Store, split: str, which: layout.WeightsName) -> RunDetails:
    report = f"{store.url}/{layout.REPORT}"
    shown = report.startswith(OPENED_BY_BROWSERS) and any(True for _ in store.list(layout.REPORT))
    images = [
        one["rows"]
        for one in read_evaluations(store)
        if one["dataset"]["split"] == split and one["weights"] == which
    ]
    config = dict(_flat(read_run(store).config.model_dump(mode="json")))
    return RunDetails(read_metrics(store), config, report if shown else "", next(iter(images), 0))


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
    charts = [chart for chart in (_ranking(rows, details), _curves(rows, details), _costs(rows)) if chart]
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
        heading=COLUMNS,
        runs=[
            {"cells": cells(row), "report": one.report, "seconds": row["time"]}
            for row, one in zip(rows, details, strict=True)
        ],
        time=COLUMNS.index("time"),
        numbers=NUMBERS,
        charts=charts,
        names=[row["run"] for row in rows],
        differences=differences,
    )


def _tiles(rows: Sequence[ComparedRun]) -> list[Tile]:
    measured = [row for row in rows if row["top 1"] is not None]
    tiles = [Tile("Evaluated", f"{len(measured)} of {len(rows)}", f"on {rows[0]['split']}")] if rows else []
    if measured:
        best = max(measured, key=lambda row: row["top 1"] or 0.0)
        tiles.insert(0, Tile("Best top 1", f"{best['top 1']:.1%}", f"{best['run']}, {best['network']}"))
    timed = [row for row in rows if row["time"] is not None]
    if timed:
        shortest = min(timed, key=lambda row: row["time"] or 0.0)
        remark = f"{shortest['run']}, {shortest['network']}"
        tiles.append(Tile("Shortest", span(shortest["time"] or 0.0), remark))
    return tiles


def _ranking(rows: Sequence[ComparedRun], details: Sequence[RunDetails]) -> Chart | None:
    ranked = []
    for row, one in zip(rows, details, strict=True):
        if row["top 1"] is None:
            continue
        low, high = interval_95(row["top 1"] * one.images, one.images) if one.images else (None, None)
        ranked.append(
            {
                "name": row["run"],
                "value": row["top 1"],
                "low": None if low is None else rounded(low),
                "high": None if high is None else rounded(high),
                "remark": f"{row['run']}\n{row['network']}: {row['top 1']:.2%}",
            }
        )
    if not ranked:
        return None
    ranked.sort(key=lambda one: -float(one["value"] or 0))
    words = ", ".join(f"{one['name']} {one['value']:.1%}" for one in ranked)
    title = "top 1, with 95 % intervals" if any(one["low"] is not None for one in ranked) else "top 1"
    return Chart("ranking", title, f"Top 1 of each run: {words}", {"x": "", "rows": ranked})


def _curves(rows: Sequence[ComparedRun], details: Sequence[RunDetails]) -> Chart | None:
    """The validation accuracy of the first runs; the accuracy of those without."""
    series = {}
    for row, one in list(zip(rows, details, strict=True))[:MAX_LINES]:
        metric = "val_accuracy" if any("val_accuracy" in epoch for epoch in one.history) else "accuracy"
        points = [(n + 1.0, epoch[metric]) for n, epoch in enumerate(one.history) if metric in epoch]
        if points:
            name = row["run"] if row["run"] not in series else f"{row['run']} ({len(series) + 1})"
            series[name] = points
    return line_chart("validation accuracy", series, "epoch", "", percent=True)


def _costs(rows: Sequence[ComparedRun]) -> Chart | None:
    """Top 1 over the time that it took."""
    known = [row for row in rows if row["top 1"] is not None and row["time"]]
    if len(known) < 2:
        return None
    longest = max(row["time"] or 0.0 for row in known)
    seconds = 3600 if longest > 7200 else 60 if longest > 120 else 1
    unit = {3600: "hours", 60: "minutes", 1: "seconds"}[seconds]
    points = [
        {
            "name": row["run"],
            "x": rounded((row["time"] or 0.0) / seconds),
            "y": row["top 1"],
            "number": number % MAX_LINES,
            "remark": f"{row['run']}\n{row['top 1']:.2%} in {span(row['time'] or 0.0)}",
        }
        for number, row in enumerate(known)
    ]
    words = ", ".join(f"{row['run']} {row['top 1']:.1%} in {span(row['time'] or 0.0)}" for row in known)
    values = {"x": unit, "y": "", "points": points}
    return Chart("scatter", f"top 1 by {unit}", f"Top 1 by time: {words}", values)


def _differences(details: Sequence[RunDetails]) -> list[tuple[str, ...]]:
    """Each key of the configuration whose values are not all the same, and these."""
    keys = list(dict.fromkeys(key for one in details for key in one.config))
    values = {key: [one.config.get(key, "-") for one in details] for key in keys if key not in HIDDEN}
    return [(key, *row) for key, row in values.items() if len(set(row)) > 1]
