"""A page of augmented training images: a row for each image, a column for each epoch."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainer.dataset.inspection.image_grid import GridRow, image_grid
from trainer.output.html.render import render_page
from trainer.output.html.thumbnail import thumbnail


@dataclass(frozen=True)
class AugmentedRow:
    """A training image.

    Attributes:
        row: its number in the split.
        name: of its file; "" where that is not known.
        images: uint8 (H, W, 3): as it is prepared, then as each epoch has it.
    """

    row: int
    class_name: str
    name: str
    images: Sequence[NDArray[np.uint8]]


def png_sheet(rows: Sequence[AugmentedRow], epochs: Sequence[int]) -> bytes:
    """All of it as one image."""
    grid = [GridRow(f"{row.class_name}\n{row.name or f'row {row.row}'}", row.images) for row in rows]
    return image_grid(grid, len(epochs) + 1, headings(epochs))


def html_sheet(rows: Sequence[AugmentedRow], epochs: Sequence[int], described: str, url: str) -> bytes:
    """All of it as one HTML file. `described` says what is changed, `url` is the dataset's."""
    return render_page(
        "augmentation.html",
        kind="Augmented images",
        title=url.rstrip("/").rpartition("/")[2],
        contents=[],
        url=url,
        described=described,
        headings=headings(epochs),
        rows=[
            {"name": row.class_name, "file": row.name, "images": [thumbnail(one) for one in row.images]}
            for row in rows
        ],
    )


def headings(epochs: Sequence[int]) -> list[str]:
    """The names of the columns."""
    return ["prepared", *(f"epoch {epoch + 1}" for epoch in epochs)]
