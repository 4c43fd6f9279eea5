"""How predictions are written: JSON Lines, CSV or Parquet, one row for each image."""

import csv
import io
import json
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Literal, TypedDict, final

import numpy as np
from numpy.typing import NDArray

from trainer.errors import ConfigError

TOP = 5
PredictionFormat = Literal["jsonl", "csv", "parquet", "json"]
"""`json` is JSON Lines, and in addition one list of all."""

_COLUMNS = ("image", "class_id", "class_name", "probability")


class ClassProbability(TypedDict):
    """One class of an image.

    Attributes:
        class_id: its number, counted from 0.
        class_name: its name.
        probability: with 6 digits.
    """

    class_id: int
    class_name: str
    probability: float


@final
class PredictionRow(ClassProbability):
    """The prediction of one image, and its most probable class.

    Attributes:
        image: its key below the input, or as it was named.
        top: up to 5 classes, the most probable one first; not in CSV and results.json.
    """

    image: str
    top: list[ClassProbability]


@final
class ReadError(TypedDict):
    """An image that could not be read.

    Attributes:
        image: its key below the input, or as it was named.
        error: the reason.
    """

    image: str
    error: str


@dataclass(frozen=True)
class Prediction:
    """The class of one image, and the `TOP` classes with their probabilities where they are known."""

    image: str
    class_id: int
    class_name: str
    probability: float
    top: Sequence[ClassProbability] = ()

    @classmethod
    def of(cls, image: str, probabilities: NDArray[np.float32], classes: Sequence[str]) -> "Prediction":
        """Makes it from the network's float32 (classes,). Probabilities have 6 digits."""
        order = np.argsort(-probabilities, kind="stable")[:TOP].tolist()
        top: list[ClassProbability] = [
            {"class_id": i, "class_name": classes[i], "probability": round(float(probabilities[i]), 6)}
            for i in order
        ]
        return cls(image=image, **top[0], top=top)

    def row(self) -> PredictionRow:
        """The values of its JSON line."""
        return {
            "image": self.image,
            "class_id": self.class_id,
            "class_name": self.class_name,
            "probability": self.probability,
            "top": list(self.top),
        }


def check(format: PredictionFormat) -> None:
    """Raises ConfigError where the package that writes the format is not installed."""
    if format == "parquet" and find_spec("pyarrow") is None:
        raise ConfigError("format: parquet needs pyarrow, which is not installed", "pip install pyarrow")


def suffix(format: PredictionFormat) -> str:
    """The suffix of a part's file."""
    return "jsonl" if format == "json" else format


def dumps(predictions: Iterable[Prediction], format: PredictionFormat) -> bytes:
    """A part's predictions."""
    if format == "parquet":
        return _parquet(predictions)
    if format != "csv":
        return lines(prediction.row() for prediction in predictions)
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(_COLUMNS)
    writer.writerows([getattr(prediction, name) for name in _COLUMNS] for prediction in predictions)
    return file.getvalue().encode()


def loads(data: bytes, format: PredictionFormat) -> Iterator[Prediction]:
    """The predictions of a part. CSV has no `top`."""
    if format == "csv":
        for row in csv.DictReader(io.StringIO(data.decode(), newline="")):
            yield Prediction(row["image"], int(row["class_id"]), row["class_name"], float(row["probability"]))
    elif format == "parquet":
        from pyarrow import parquet

        yield from (Prediction(**row) for row in parquet.read_table(io.BytesIO(data)).to_pylist())
    else:
        yield from (Prediction(**json.loads(line)) for line in data.splitlines())


def result(prediction: Prediction) -> str:
    """Its object in results.json."""
    values = {name: getattr(prediction, name) for name in _COLUMNS}
    return textwrap.indent(json.dumps(values, ensure_ascii=False, indent=4), "    ")


def lines(rows: Iterable[Mapping[str, object]]) -> bytes:
    """JSON Lines."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def _parquet(predictions: Iterable[Prediction]) -> bytes:
    import pyarrow
    from pyarrow import parquet

    columns = [
        ("class_id", pyarrow.int32()),
        ("class_name", pyarrow.string()),
        ("probability", pyarrow.float64()),
    ]
    schema = pyarrow.schema(
        [("image", pyarrow.string()), *columns, ("top", pyarrow.list_(pyarrow.struct(columns)))]
    )
    file = io.BytesIO()
    rows = [prediction.row() for prediction in predictions]
    parquet.write_table(pyarrow.Table.from_pylist(rows, schema), file)
    return file.getvalue()
