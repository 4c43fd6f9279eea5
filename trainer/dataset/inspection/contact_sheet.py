"""Images of a dataset on one page, a row of them for each class."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trainer.dataset.dataset import Dataset, Split
from trainer.dataset.inspection.image_grid import GridRow, image_grid
from trainer.dataset.open_dataset import open_dataset
from trainer.dataset.reading.reader import Reader
from trainer.local_file import write_file
from trainer.output.units import plural

CLASSES, IMAGES = 20, 8
"""Rows and columns of a sheet, at most."""


def write_contact_sheet(url: str, destination: str) -> Path:
    """Writes a file, or `contact-sheet.png` into a folder. Raises DataError where there is no dataset,
    ConfigError for a destination that cannot be written."""
    return write_file(contact_sheet(open_dataset(url)), destination, "contact-sheet.png")


def contact_sheet(dataset: Dataset) -> bytes:
    """PNG: the first training images of classes that are spread evenly over all, with names and counts."""
    split = dataset.split("train")
    counts = np.bincount(split.labels, minlength=len(dataset.classes))
    rows = [
        GridRow(
            f"{label}  {dataset.classes[label]}\n{plural(counts[label], 'image')}",
            rgb_rows(dataset, split, np.flatnonzero(split.labels == label)[:IMAGES]),
        )
        for label in _spread(len(dataset.classes), CLASSES)
    ]
    return image_grid(rows, IMAGES)


def _spread(count: int, limit: int) -> list[int]:
    return sorted({round(number) for number in np.linspace(0, count - 1, min(count, limit)).tolist()})


def rgb_rows(dataset: Dataset, split: Split, rows: NDArray[np.int64]) -> Iterator[NDArray[np.uint8]]:
    """Each of these rows, uint8 (H, W, 3)."""
    for row in rows.tolist():
        (batch,) = Reader(dataset, split, threads=1).batches_of(range(row, row + 1), 1)
        yield rgb(batch.images[0].copy())


def rgb(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(H, W, 3) of (H, W, 3) or (H, W, 1)."""
    return np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels
