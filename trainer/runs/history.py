"""metrics.csv: the metrics of each epoch, in the form of Keras's CSVLogger."""

import csv
import io
from collections.abc import Mapping, Sequence

LEADING_COLUMNS = ("epoch", "accuracy", "loss", "val_accuracy", "val_loss")
"""CSVLogger's columns, so that the source documents' gnuplot lines (columns 1, 2 and 4) work."""

_ABSENT = "NA"


def write_history(history: Sequence[Mapping[str, float]]) -> bytes:
    """A mapping of metrics for each epoch -> CSV text. Epochs are counted from 0, as CSVLogger does."""
    text = io.StringIO()
    others = sorted({name for row in history for name in row} - set(LEADING_COLUMNS))
    present = [c for c in LEADING_COLUMNS if c == "epoch" or any(c in row for row in history)]
    writer = csv.DictWriter(text, [*present, *others], restval=_ABSENT, lineterminator="\n")
    writer.writeheader()
    for epoch, row in enumerate(history):
        writer.writerow({"epoch": epoch, **row})
    return text.getvalue().encode()


def read_history(data: bytes) -> list[dict[str, float]]:
    """The history that `write_history` was given."""
    rows = csv.DictReader(io.StringIO(data.decode()))
    return [
        {name: float(value) for name, value in row.items() if name != "epoch" and value != _ABSENT}
        for row in rows
    ]
