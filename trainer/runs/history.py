"""metrics.csv: the metrics of each epoch, in the format of Keras's CSVLogger; and which epoch was the
best."""

import csv
import io
import math
from collections.abc import Mapping, Sequence

LEADING_COLUMNS = ("epoch", "accuracy", "loss", "val_accuracy", "val_loss")
"""CSVLogger's columns, so that the gnuplot lines of the source documents (columns 1, 2 and 4) work."""

_ABSENT = "NA"


def write_history(history: Sequence[Mapping[str, float]]) -> bytes:
    """A mapping of metrics for each epoch -> CSV text. Epochs are counted from 0, as in CSVLogger."""
    text = io.StringIO()
    others = sorted({name for row in history for name in row} - set(LEADING_COLUMNS))
    present = [c for c in LEADING_COLUMNS if c == "epoch" or any(c in row for row in history)]
    writer = csv.DictWriter(text, [*present, *others], restval=_ABSENT, lineterminator="\n")
    writer.writeheader()
    for epoch, row in enumerate(history):
        writer.writerow({"epoch": epoch, **row})
    return text.getvalue().encode()


def read_history(data: bytes) -> list[dict[str, float]]:
    """The history that `write_history` wrote."""
    rows = csv.DictReader(io.StringIO(data.decode()))
    return [
        {name: float(value) for name, value in row.items() if name != "epoch" and value != _ABSENT}
        for row in rows
    ]


def lower_is_better(monitor: str) -> bool:
    """Whether lower values are better: Keras's "auto" mode, true for losses and errors."""
    return "loss" in monitor or "error" in monitor


def metric_of(monitor: str, *, validated: bool) -> str:
    """`monitor`, or without a validation split the training metric of that name."""
    return monitor if validated else monitor.removeprefix("val_")


def monitored(metrics: Mapping[str, float], metric: str) -> float | None:
    """The value of a metric; None for NaN, and if the epoch does not have it."""
    value = metrics.get(metric)
    return None if value is None or math.isnan(value) else value


def is_better(value: float, best: float | None, monitor: str) -> bool:
    """Whether `value` of `monitor` is better than the best so far."""
    return best is None or (value < best if lower_is_better(monitor) else value > best)


def best_epoch(history: Sequence[Mapping[str, float]], monitor: str) -> int | None:
    """The first epoch with the best value of `monitor`, counted from 0; None without a value."""
    metric = metric_of(monitor, validated=any(monitor in metrics for metrics in history))
    best, epoch = None, None
    for number, metrics in enumerate(history):
        value = monitored(metrics, metric)
        if value is not None and is_better(value, best, monitor):
            best, epoch = value, number
    return epoch
