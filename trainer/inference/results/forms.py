"""How predictions are written: JSON Lines or CSV, one row for each image."""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

TOP = 5
Form = Literal["jsonl", "csv"]

_COLUMNS = ("image", "class_id", "class_name", "probability")


@dataclass(frozen=True)
class Prediction:
    """The class of one image, and the `TOP` classes with their probabilities where they are known."""

    image: str
    class_id: int
    class_name: str
    probability: float
    top: Sequence[dict[str, Any]] = ()

    @classmethod
    def of(cls, image: str, probabilities: NDArray[np.float32], classes: Sequence[str]) -> "Prediction":
        """Of the network's float32 (classes,). Probabilities have 6 digits."""
        order = np.argsort(-probabilities, kind="stable")[:TOP].tolist()
        top: list[dict[str, Any]] = [
            {"class_id": i, "class_name": classes[i], "probability": round(float(probabilities[i]), 6)}
            for i in order
        ]
        return cls(image=image, **top[0], top=top)

    def row(self) -> dict[str, Any]:
        """As it is in JSON Lines."""
        return {**{name: getattr(self, name) for name in _COLUMNS}, "top": list(self.top)}


def dumps(predictions: Iterable[Prediction], form: Form) -> bytes:
    """A part's predictions."""
    if form == "jsonl":
        return lines(prediction.row() for prediction in predictions)
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(_COLUMNS)
    writer.writerows([getattr(prediction, name) for name in _COLUMNS] for prediction in predictions)
    return file.getvalue().encode()


def loads(data: bytes, form: Form) -> Iterator[Prediction]:
    """The predictions of a part. CSV has no `top`."""
    if form == "jsonl":
        yield from (Prediction(**json.loads(line)) for line in data.splitlines())
        return
    rows = csv.DictReader(io.StringIO(data.decode(), newline=""))
    for row in rows:
        yield Prediction(row["image"], int(row["class_id"]), row["class_name"], float(row["probability"]))


def lines(rows: Iterable[dict[str, Any]]) -> bytes:
    """JSON Lines."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
