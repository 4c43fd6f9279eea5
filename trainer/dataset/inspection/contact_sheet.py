"""Images of a dataset on one page, a row of them for each class."""

from pathlib import Path

import numpy as np

from trainer.dataset.dataset import Dataset
from trainer.dataset.inspection.image_grid import GridRow, image_grid
from trainer.dataset.inspection.sample_rows import read_rows, rgb
from trainer.dataset.open_dataset import open_dataset
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
    rows = []
    for label in _spread(len(dataset.classes), CLASSES):
        firsts = np.flatnonzero(split.labels == label)[:IMAGES]
        title = f"{label}  {dataset.classes[label]}\n{plural(counts[label], 'image')}"
        rows.append(GridRow(title, [rgb(image) for image in read_rows(dataset, split, firsts)]))
    return image_grid(rows, IMAGES)


def _spread(count: int, limit: int) -> list[int]:
    return sorted({round(number) for number in np.linspace(0, count - 1, min(count, limit)).tolist()})
