"""`trainer compare`: runs side by side, as the food document's table of results."""

import csv
import io
import json
from collections.abc import Sequence
from typing import Any, Literal

from trainer.output.html.render import render
from trainer.output.units import span
from trainer.runs import layout
from trainer.runs.run_document import read_finished, read_run
from trainer.storage import Store, open_store

Format = Literal["text", "csv", "html", "json"]

COLUMNS = ("run", "network", "parameters", "epoch", "top 1", "top 5", "loss", "split", "time", "remark")

NUMBERS = tuple(COLUMNS.index(name) for name in ("parameters", "epoch", "top 1", "top 5", "loss"))


def compare(urls: Sequence[str], split: str, which: layout.Which) -> list[dict[str, Any]]:
    """A row for each run: `COLUMNS`, None for what is not known. Raises DataError where there is no run.

    `time` are the seconds between the run's first start and its end, pauses included; `parameters`, `top 1`,
    `top 5` and `loss` are those of `trainer evaluate`.
    """
    return [_row(open_store(url), split, which) for url in urls]


def _row(store: Store, split: str, which: layout.Which) -> dict[str, Any]:
    run = read_run(store)
    finished = read_finished(store)
    found: dict[str, Any] = {}
    remarks = []
    try:
        found = json.loads(store.get(layout.evaluation(split, which)))
    except FileNotFoundError:
        remarks.append(f"not evaluated: trainer evaluate {store.url} --split {split} --weights {which}")
    if finished is None:
        remarks.append("not finished")
    reached = finished and (finished.published if which == "best" else finished.last)
    return {
        "run": store.url.rstrip("/").rpartition("/")[2],
        "network": run.config.model.name,
        "parameters": found.get("parameters"),
        "epoch": reached.epoch if reached else None,
        "top 1": found.get("top1"),
        "top 5": found.get("top5"),
        "loss": found.get("loss"),
        "split": split,
        "time": _seconds(store) if finished else None,
        "remark": "; ".join(remarks) or None,
    }


def _seconds(store: Store) -> float | None:
    started = [info.modified for info in store.list(layout.TOKENS) if info.modified]
    ended = store.stat(layout.FINISHED).modified
    return round(ended - min(started), 1) if started and ended else None


def cells(row: dict[str, Any]) -> list[str]:
    """As a person reads it; "-" for what is not known."""
    shown = []
    for name in COLUMNS:
        value = row[name]
        if value is None:
            shown.append("" if name == "remark" else "-")
        elif name in ("top 1", "top 5", "loss"):
            shown.append(f"{value:.4f}")
        elif name == "time":
            shown.append(span(value))
        else:
            shown.append(f"{value:,}" if isinstance(value, int) else str(value))
    return shown


def dumps(rows: Sequence[dict[str, Any]], form: Format) -> str:
    """CSV, an HTML table or JSON."""
    if form == "json":
        return json.dumps(rows, ensure_ascii=False, indent=2)
    if form == "csv":
        file = io.StringIO()
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        return file.getvalue().rstrip("\n")
    return render("comparison.html", heading=COLUMNS, rows=[cells(row) for row in rows])
