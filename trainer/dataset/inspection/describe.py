"""The contents of a dataset, as plain values for people and scripts."""

from typing import Any, TypedDict

import numpy as np

from trainer.dataset.dataset import Dataset, Split
from trainer.dataset.inspection.image_checks import ProgressCallback, Survey, check_images, survey
from trainer.dataset.inspection.label_checks import check_labels
from trainer.dataset.open_dataset import open_dataset


class SplitDescription(TypedDict):
    """What the index of a dataset says about a split.

    Attributes:
        rows: images.
        rows_per_class: class -> images.
        image_bytes: of the pixels, decoded.
        object_bytes: of the shards.
        objects: shards.
        chunks: pieces of the shards that are read at once.
        rows_per_chunk: images of the largest one.
        mean: of each channel, in 0..255.
        std: the standard deviation of each channel.
    """

    rows: int
    rows_per_class: dict[str, int]
    image_bytes: int
    object_bytes: int
    objects: int
    chunks: int
    rows_per_chunk: int
    mean: list[float]
    std: list[float]


class ReadSplit(TypedDict):
    """What the images of a split are, after all were read.

    Attributes:
        images: their number.
        different_images: without copies.
        lowest: the lowest value of a pixel.
        highest: the highest value.
        mean: of each channel.
        std: the standard deviation of each channel.
    """

    images: int
    different_images: int
    lowest: int
    highest: int
    mean: list[float]
    std: list[float]


class DatasetDescription(TypedDict):
    """What a dataset holds, and what is suspicious about it.

    Attributes:
        url: of the dataset.
        version: of its format.
        identity: the SHA-256 of its index.
        classes: their names, in the order of the labels.
        image_shape: (H, W, C).
        encoding: raw or jpeg.
        splits: split -> what its index says.
        made: how `prepare` or `index` made it.
        read: with `--read`, split -> what its images are; else null.
        findings: what is suspicious, in sentences.
    """

    url: str
    version: int
    identity: str
    classes: list[str]
    image_shape: list[int]
    encoding: str
    splits: dict[str, SplitDescription]
    made: dict[str, Any]
    read: dict[str, ReadSplit] | None
    findings: list[str]


def inspect(url: str, *, read: bool = False, progress: ProgressCallback | None = None) -> DatasetDescription:
    """Describes the dataset at `url`, and anything suspicious in it: from its index, and with `read` from
    each of its images. Raises DataError as `open_dataset` does, and for images that cannot be read."""
    dataset = open_dataset(url)
    counts = {
        name: np.bincount(split.labels, minlength=len(dataset.classes))
        for name, split in dataset.splits.items()
    }
    findings = check_labels(dataset.classes, counts)
    surveys = survey(dataset, progress) if read else []
    if surveys:
        findings += check_images(dataset.classes, surveys)
    return {
        "url": dataset.url,
        "version": dataset.version,
        "identity": dataset.identity,
        "classes": list(dataset.classes),
        "image_shape": list(dataset.image_shape),
        "encoding": dataset.encoding,
        "splits": {name: _split(dataset, split) for name, split in dataset.splits.items()},
        "made": dataset.made,
        "read": {seen.split.name: _seen(seen) for seen in surveys} if read else None,
        "findings": findings,
    }


def _seen(seen: Survey) -> ReadSplit:
    mean, std = seen.pixels.moments()
    return {
        "images": len(seen.digests),
        "different_images": len(np.unique(seen.digests)),
        "lowest": seen.values[0],
        "highest": seen.values[1],
        "mean": [round(value, 3) for value in mean],
        "std": [round(value, 3) for value in std],
    }


def _split(dataset: Dataset, split: Split) -> SplitDescription:
    counts = np.bincount(split.labels, minlength=len(dataset.classes)).tolist()
    return {
        "rows": split.rows,
        "rows_per_class": dict(zip(dataset.classes, counts, strict=True)),
        "image_bytes": split.rows * split.row_bytes,
        "object_bytes": sum(shard.size for shard in split.objects),
        "objects": len(split.objects),
        "chunks": len(split.chunks),
        "rows_per_chunk": int(split.chunks["rows"].max()),
        "mean": [round(value, 3) for value in split.mean],
        "std": [round(value, 3) for value in split.std],
    }
