"""Images in rows and columns, as one PNG: each row with a title, each column with a heading."""

import io
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

_CELL, _MARGIN, _TITLE, _HEADING = 112, 8, 260, 24
_SMALLEST = 48
_TEXT, _PAPER = (20, 20, 20), (255, 255, 255)

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


class GridRow(NamedTuple):
    """A row: its title, which may have several lines, and images uint8 (H, W, 3)."""

    title: str
    images: Iterable[NDArray[np.uint8]]


def image_grid(rows: Sequence[GridRow], columns: int, headings: Sequence[str] = ()) -> bytes:
    """PNG of rows with up to `columns` images."""
    font, top = ImageFont.load_default(14), _HEADING if headings else 0
    size = (
        _TITLE + columns * (_CELL + _MARGIN) + _MARGIN,
        top + len(rows) * (_CELL + _MARGIN) + _MARGIN,
    )
    sheet = Image.new("RGB", size, _PAPER)
    draw = ImageDraw.Draw(sheet)
    for column, heading in enumerate(headings):
        place = (_TITLE + column * (_CELL + _MARGIN), _MARGIN)
        draw.text(place, _fitted(heading, font, _CELL), _TEXT, font)
    for row in rows:
        top += _MARGIN
        draw.multiline_text((_MARGIN, top + 4), _fitted(row.title, font, _TITLE - 2 * _MARGIN), _TEXT, font)
        for column, image in enumerate(map(_scaled, row.images)):
            left = _TITLE + column * (_CELL + _MARGIN)
            sheet.paste(image, (left + (_CELL - image.width) // 2, top + (_CELL - image.height) // 2))
        top += _CELL
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG")
    return buffer.getvalue()


def _scaled(pixels: NDArray[np.uint8]) -> Image.Image:
    """At most as large as a cell; small images as large as it."""
    image = Image.fromarray(pixels)
    scale = _CELL / max(image.size)
    if scale >= 1 and max(image.size) >= _SMALLEST:
        return image
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.NEAREST)


def _fitted(text: str, font: Font, width: int) -> str:
    """Each line in this width, cut with "…" where it is too long."""
    lines = []
    for line in text.splitlines():
        while font.getlength(line) > width:
            line = line.removesuffix("…")[:-1] + "…"
        lines.append(line)
    return "\n".join(lines)
