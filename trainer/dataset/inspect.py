"""What a dataset holds, as plain values for a person or a script."""

from typing import Any

import numpy as np

from trainer.dataset.index import Dataset, Split, open_dataset


def inspect(url: str) -> dict[str, Any]:
    """Describe the dataset at `url` from its index. Raises DataError as `open_dataset` does."""
    dataset = open_dataset(url)
    return {
        "url": dataset.url,
        "version": dataset.version,
        "identity": dataset.identity,
        "classes": list(dataset.classes),
        "image_shape": list(dataset.image_shape),
        "splits": {name: _split(dataset, split) for name, split in dataset.splits.items()},
        "made": dataset.made,
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
