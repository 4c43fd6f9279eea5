"""The contents of a dataset, as plain values for people and scripts."""

from typing import Any

import numpy as np

from trainer.dataset.dataset import Dataset, Split
from trainer.dataset.inspection.image_checks import ProgressCallback, Survey, check_images, survey
from trainer.dataset.inspection.label_checks import check_labels
from trainer.dataset.open_dataset import open_dataset


def inspect(url: str, *, read: bool = False, progress: ProgressCallback | None = None) -> dict[str, Any]:
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


def _seen(seen: Survey) -> dict[str, Any]:
    mean, std = seen.pixels.moments()
    return {
        "images": len(seen.digests),
        "different_images": len(np.unique(seen.digests)),
        "lowest": seen.values[0],
        "highest": seen.values[1],
        "mean": [round(value, 3) for value in mean],
        "std": [round(value, 3) for value in std],
    }


def _split(dataset: Dataset, split: Split) -> dict[str, Any]:
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
