"""A few rows of a split: which, and their images."""

import numpy as np
from numpy.typing import NDArray

from trainer.dataset.dataset import Dataset, Split
from trainer.dataset.reading.reader import Reader


def chosen_rows(split: Split, count: int) -> NDArray[np.int64]:
    """Rows of as many classes as possible, spread over all; then others. int64 (n,), ascending."""
    _, firsts = np.unique(split.labels, return_index=True)
    spread = firsts[np.linspace(0, len(firsts) - 1, min(count, len(firsts))).round().astype(int)]
    others = np.setdiff1d(np.arange(split.rows), spread)
    more = np.linspace(0, len(others) - 1, min(count - len(spread), len(others))).round().astype(int)
    return np.union1d(spread, others[more]).astype(np.int64)


def read_rows(dataset: Dataset, split: Split, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
    """The images of rows (n,), uint8 (n, H, W, C)."""
    reader = Reader(dataset, split, threads=1)
    images = np.empty((len(rows), *dataset.image_shape), np.uint8)
    for place, row in enumerate(rows.tolist()):
        (batch,) = reader.batches_of(range(row, row + 1), 1)
        images[place] = batch.images[0]
    return images


def rgb(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(H, W, 3) of (H, W, 3) or (H, W, 1)."""
    return np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels
