"""Images of a dataset for a report."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.dataset.dataset import Dataset, Split
from trainer.dataset.reading.reader import Reader
from trainer.errors import TrainerError
from trainer.reporting.heat_map import HeatMap
from trainer.reporting.known import Picture, PicturedPair
from trainer.runs.documents.evaluation_values import EvaluationDocument
from trainer.runs.documents.heat_values import HeatDocument, map_of

SAMPLES = 24
MAX_MISTAKES_SHOWN = 24
MAX_PAIRS_SHOWN = 8
IMAGES_OF_A_PAIR = 3
"""Images of each of its two classes."""


def samples(dataset: Dataset) -> list[Picture]:
    """Samples of the training images, from as many classes as possible."""
    split = dataset.split("train")
    _, first = np.unique(split.labels, return_index=True)
    rest = np.setdiff1d(np.linspace(0, split.rows - 1, SAMPLES).astype(int), first)
    rows = [*first.tolist(), *rest.tolist()][: min(SAMPLES, split.rows)]
    return _pictures(dataset, split, [(row, dataset.classes[int(split.labels[row])]) for row in rows])


def mistakes(dataset: Dataset, evaluation: EvaluationDocument) -> list[Picture]:
    """The most confident mistakes, with the names of their files."""
    split = dataset.split(evaluation["dataset"]["split"])
    rows = [
        (one["row"], one["class"], one["predicted"], one["probability"])
        for one in evaluation["misclassified"][:MAX_MISTAKES_SHOWN]
    ]
    return _pictures(dataset, split, rows)


def pairs(dataset: Dataset, evaluation: EvaluationDocument) -> list[PicturedPair]:
    """The pairs that are confused most: images of the first class, misclassified ones before others, and
    images of the second."""
    split = dataset.split(evaluation["dataset"]["split"])
    confused: dict[tuple[str, str], list[int]] = {}
    for one in evaluation["misclassified"]:
        confused.setdefault((one["class"], one["predicted"]), []).append(one["row"])
    known = {one["row"]: one for one in evaluation["misclassified"]}
    numbers = {name: number for number, name in enumerate(dataset.classes)}
    found = []
    for pair in evaluation["most_confused"][:MAX_PAIRS_SHOWN]:
        name, predicted = pair["class"], pair["predicted"]
        rows = confused.get((name, predicted), [])
        first = [*rows, *(row for row in _of_class(split, numbers[name]) if row not in known)]
        second = [row for row in _of_class(split, numbers[predicted]) if row not in known]
        found.append(
            PicturedPair(
                name,
                predicted,
                pair["rows"],
                _labelled(dataset, split, first[:IMAGES_OF_A_PAIR], name, dict.fromkeys(rows, predicted)),
                _labelled(dataset, split, second[:IMAGES_OF_A_PAIR], predicted, {}),
            )
        )
    return [pair for pair in found if pair.first and pair.second]


def heat_maps(dataset: Dataset, evaluation: EvaluationDocument, heat: HeatDocument) -> list[HeatMap]:
    """The heat maps; none where they are not of this evaluation."""
    place = evaluation["dataset"]
    bound = (place["identity"], place["split"], evaluation["weights_sha256"])
    if bound != (heat["dataset"], heat["split"], heat["weights_sha256"]):
        return []
    split = dataset.split(heat["split"])
    rows = [(one["row"], dataset.classes[int(split.labels[one["row"]])]) for one in heat["images"]]
    return [
        HeatMap(shown.pixels, map_of(one), shown.class_name, one["predicted"], one["probability"], shown.name)
        for shown, one in zip(_pictures(dataset, split, rows), heat["images"], strict=False)
    ]


def _of_class(split: Split, number: int) -> list[int]:
    rows: list[int] = np.flatnonzero(split.labels == number)[: 10 * IMAGES_OF_A_PAIR].tolist()
    return rows


def _labelled(
    dataset: Dataset, split: Split, rows: Sequence[int], name: str, predicted: Mapping[int, str]
) -> list[Picture]:
    return _pictures(dataset, split, [(row, name, predicted.get(row)) for row in rows])


def _pictures(dataset: Dataset, split: Split, rows: Sequence[tuple[Any, ...]]) -> list[Picture]:
    """Each row's number, and what a `Picture` has between the pixels and the name of the file."""
    found: list[Picture] = []
    try:
        numbers = [row for row, *_ in rows]
        names = split.names(np.array(numbers, np.int64))
        for (_, *words), pixels, name in zip(rows, read_rows(dataset, split, numbers), names, strict=True):
            found.append(Picture(pixels, *words, name=name))  # type: ignore[misc]
    except (TrainerError, OSError):
        pass
    return found


def read_rows(dataset: Dataset, split: Split, rows: Iterable[int]) -> Iterable[NDArray[np.uint8]]:
    """Each of these rows as RGB, uint8 (H, W, 3). Raises what reading raises."""
    reader = Reader(dataset, split, threads=1)
    for row in rows:
        (batch,) = reader.batches_of(range(row, row + 1), 1)
        image = batch.images[0]
        yield np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image.copy()
