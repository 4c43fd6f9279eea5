"""report/heat-maps.json in a run's folder, as types."""

import base64
from collections.abc import Sequence
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from trainer.runs import layout
from trainer.runs.documents.versioned import dump_versioned, read_versioned
from trainer.storage import Store

VERSION = 1


class HeatRow(TypedDict):
    """How much each part of an image contributed to the class that was predicted.

    Attributes:
        row: its number in the split.
        predicted: the class.
        probability: of that class.
        shape: (height, width) of the map.
        heat: base64 of uint8, row by row.
    """

    row: int
    predicted: str
    probability: float
    shape: list[int]
    heat: str


class HeatDocument(TypedDict):
    """Grad-CAM of a few images.

    Attributes:
        version: 1.
        dataset: the SHA-256 of its index.
        split: of the rows.
        weights_sha256: of the weights' file.
        images: a map each.
    """

    version: int
    dataset: str
    split: str
    weights_sha256: str
    images: Sequence[HeatRow]


def heat_row(row: int, predicted: str, probability: float, heat: NDArray[np.uint8]) -> HeatRow:
    """A row of the document, of a map uint8 (h, w)."""
    text = base64.b64encode(heat.tobytes()).decode()
    return {
        "row": row,
        "predicted": predicted,
        "probability": round(probability, 6),
        "shape": list(heat.shape),
        "heat": text,
    }


def map_of(row: HeatRow) -> NDArray[np.uint8]:
    """The map of a row, uint8 (h, w)."""
    return np.frombuffer(base64.b64decode(row["heat"]), np.uint8).reshape(row["shape"])


def dump_heat(document: HeatDocument) -> bytes:
    """The JSON text."""
    return dump_versioned(document)


def read_heat(store: Store) -> HeatDocument | None:
    """The document; None where there is none of a version that is known."""
    document: HeatDocument | None = read_versioned(store, layout.HEAT_MAPS, VERSION)
    return document
