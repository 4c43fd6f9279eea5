"""Images of a dataset on one page, a row of them for each class."""

import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from trainer.dataset.dataset import Dataset, Split
from trainer.dataset.open_dataset import open_dataset
from trainer.dataset.reading.reader import Reader
from trainer.local_file import write_file
from trainer.output.units import plural

CLASSES, IMAGES = 20, 8
"""Rows and columns of a sheet, at most."""
_CELL, _MARGIN, _TITLE = 112, 8, 260
_SMALLEST = 48
_TEXT, _PAPER = (20, 20, 20), (255, 255, 255)


def write_contact_sheet(url: str, destination: str) -> Path:
    """Writes a file, or `contact-sheet.png` into a folder. Raises DataError where there is no dataset,
    ConfigError for a destination that cannot be written."""
    return write_file(contact_sheet(open_dataset(url)), destination, "contact-sheet.png")


def contact_sheet(dataset: Dataset) -> bytes:
    """PNG: the first training images of classes that are spread evenly over all, with names and counts."""
    split = dataset.split("train")
    counts = np.bincount(split.labels, minlength=len(dataset.classes))
    labels = _spread(len(dataset.classes), CLASSES)
    font = ImageFont.load_default(14)
    sheet = Image.new(
        "RGB",
        (_TITLE + IMAGES * (_CELL + _MARGIN) + _MARGIN, len(labels) * (_CELL + _MARGIN) + _MARGIN),
        _PAPER,
    )
    draw = ImageDraw.Draw(sheet)
    for number, label in enumerate(labels):
        top = _MARGIN + number * (_CELL + _MARGIN)
        title = f"{label}  {dataset.classes[label]}\n{plural(counts[label], 'image')}"
        draw.multiline_text((_MARGIN, top + 4), _fitted(title, font), _TEXT, font)
        rows = np.flatnonzero(split.labels == label)[:IMAGES]
        for column, image in enumerate(_images(dataset, split, rows)):
            left = _TITLE + column * (_CELL + _MARGIN)
            sheet.paste(image, (left + (_CELL - image.width) // 2, top + (_CELL - image.height) // 2))
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG")
    return buffer.getvalue()


def _spread(count: int, limit: int) -> list[int]:
    return sorted({round(number) for number in np.linspace(0, count - 1, min(count, limit)).tolist()})


def _images(dataset: Dataset, split: Split, rows: np.ndarray) -> list[Image.Image]:
    images = []
    for row in rows.tolist():
        (batch,) = Reader(dataset, split, threads=1).batches_of(range(row, row + 1), 1)
        image = Image.fromarray(batch.images[0])
        scale = _CELL / max(image.size)
        if scale < 1 or max(image.size) < _SMALLEST:
            size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
            kind = Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.NEAREST
            image = image.resize(size, kind)
        images.append(image)
    return images


def _fitted(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """Each line in the width of a title, cut with "…" where it is too long."""
    lines = []
    for line in text.splitlines():
        while font.getlength(line) > _TITLE - 2 * _MARGIN:
            line = line.removesuffix("…")[:-1] + "…"
        lines.append(line)
    return "\n".join(lines)
