"""`trainer compare`: runs side by side, as in the food document's table of results."""

import csv
import io
import json
from collections.abc import Sequence
from shlex import quote
from typing import Any, Literal, TypedDict, cast

from trainer.config.run_sections import PriceSection
from trainer.output.units import span
from trainer.reporting.usage import hours, money, read_epochs, usage_of
from trainer.runs import layout
from trainer.runs.documents.evaluation_values import HELD_OUT, EvaluationDocument
from trainer.runs.run_document import read_finished, read_run
from trainer.storage import Store, open_store

Format = Literal["csv", "json"]

_Spaced = TypedDict(
    "_Spaced",
    {
        "image size": str,
        "top 1": float | None,
        "top 5": float | None,
        "without pauses": float | None,
        "gpu hours": float | None,
        "core hours": float | None,
    },
)
"""Keys that are not names of Python."""


class ComparedRun(_Spaced):
    """A run beside others; null for what is not known.

    Attributes:
        run: the name of its folder.
        network: by its name in the configuration.
        image size: height and width of the images that the network is given, in pixels, such as 224x224.
        parameters: the network's.
        epoch: of the weights, counted from 1.
        top 1: the fraction of the split whose class was predicted.
        top 5: the fraction whose class is among the five most probable ones.
        loss: as `val_loss`.
        split: train, validation or test; null where none was asked for, and the run is not evaluated.
        time: seconds between the run's first start and its end, pauses included.
        without pauses: seconds of its epochs, without pauses and without steps that a restart repeated.
        gpu hours: of these epochs, summed over all GPUs; 0 without any.
        core hours: of these epochs, summed over all CPU cores.
        cost: what these hours cost, by `--price` or else the run's `run.price`; null without a price.
        currency: of the cost; null without a price.
        remark: why something is not known.
    """

    run: str
    network: str
    parameters: int | None
    epoch: int | None
    loss: float | None
    split: str | None
    time: float | None
    cost: float | None
    currency: str | None
    remark: str | None


COLUMNS = (
    *("run", "network", "image size", "parameters", "epoch", "top 1", "top 5", "loss", "split"),
    *("time", "without pauses", "gpu hours", "core hours", "cost", "currency", "remark"),
)

_NUMBERS = ("parameters", "epoch", "top 1", "top 5", "loss", "gpu hours", "core hours", "cost")

_OPTIONAL = ("gpu hours", "core hours", "cost", "currency")
"""Columns that people are shown only where one of the runs has a value."""


def shown_columns(rows: Sequence[ComparedRun]) -> tuple[str, ...]:
    """The columns that people are shown; the cost has its currency with it."""
    known = {name for row in rows for name, value in row.items() if value}
    return tuple(name for name in COLUMNS if (name not in _OPTIONAL or name in known) and name != "currency")


def numbers(columns: Sequence[str]) -> tuple[int, ...]:
    """The places of the columns that are numbers."""
    return tuple(place for place, name in enumerate(columns) if name in _NUMBERS)


def compare(
    urls: Sequence[str], split: str | None, which: layout.WeightsName, price: PriceSection | None = None
) -> list[ComparedRun]:
    """A row for each run, with the results of `trainer evaluate`: without `split` of the test split, or else
    of validation. `price`: in place of those in the runs' configurations. Raises DataError where there is no
    run."""
    return [_row(open_store(url), split, which, price) for url in urls]


def _row(
    store: Store, split: str | None, which: layout.WeightsName, price: PriceSection | None
) -> ComparedRun:
    run = read_run(store)
    finished = read_finished(store)
    evaluation = _evaluation(store, (split,) if split else HELD_OUT, which)
    remarks = []
    if evaluation is None:
        of_split = f" --split {split}" if split else ""
        remarks.append(f"not evaluated: trainer evaluate {quote(store.url)}{of_split} --weights {which}")
    elif split is None:
        split = evaluation["dataset"]["split"]
        remarks += ["not evaluated on a test split"] if split != HELD_OUT[0] else []
    if finished is None:
        remarks.append("not finished")
    reached = finished and (finished.published if which == "best" else finished.last)
    price = price or run.config.run.price
    used = usage_of(read_epochs(store))
    return {
        "run": store.url.rstrip("/").rpartition("/")[2],
        "network": run.config.model.name,
        "image size": "x".join(map(str, run.image_shape[:2])),
        "parameters": evaluation["parameters"] if evaluation else None,
        "epoch": reached.epoch if reached else None,
        "top 1": evaluation["top1"] if evaluation else None,
        "top 5": evaluation["top5"] if evaluation else None,
        "loss": evaluation["loss"] if evaluation else None,
        "split": split,
        "time": _seconds(store) if finished else None,
        "without pauses": round(used.seconds, 1) or None,
        "gpu hours": round(used.gpu_hours, 4),
        "core hours": round(used.core_hours, 4),
        "cost": round(used.cost(price), 4) if price else None,
        "currency": price.currency if price else None,
        "remark": "; ".join(remarks) or None,
    }


def _evaluation(store: Store, splits: Sequence[str], which: layout.WeightsName) -> EvaluationDocument | None:
    """The evaluation on the first split that has one."""
    for split in splits:
        try:
            document: EvaluationDocument = json.loads(store.get(layout.evaluation(split, which)))
        except FileNotFoundError:
            continue
        return document
    return None


def _seconds(store: Store) -> float | None:
    started = [info.modified for info in store.list(layout.TOKENS) if info.modified]
    ended = store.stat(layout.FINISHED).modified
    return round(ended - min(started), 1) if started and ended else None


def cells(row: ComparedRun, columns: Sequence[str] = COLUMNS) -> list[str]:
    """The cells of a row for people; "-" for what is unknown."""
    texts, values = [], cast(dict[str, Any], row)
    for name in columns:
        value = values[name]
        if value is None:
            texts.append("" if name == "remark" else "-")
        elif name in ("top 1", "top 5", "loss"):
            texts.append(f"{value:.4f}")
        elif name in ("time", "without pauses"):
            texts.append(span(value))
        elif name in ("gpu hours", "core hours"):
            texts.append(hours(value))
        elif name == "cost":
            texts.append(money(value, values["currency"]))
        else:
            texts.append(f"{value:,}" if isinstance(value, int) else str(value))
    return texts


def dumps(rows: Sequence[ComparedRun], format: Format) -> str:
    """CSV or JSON."""
    if format == "json":
        return json.dumps(rows, ensure_ascii=False, indent=2)
    file = io.StringIO()
    writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue().rstrip("\n")
