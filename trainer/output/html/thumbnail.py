"""A small image inside a page, as a data URL."""

import base64
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

THUMBNAIL_SIDE = 96
"""Pixels of the longer side, at most; the style sheet enlarges smaller images to it."""


def thumbnail(pixels: NDArray[np.uint8]) -> str:
    """uint8 (H, W, 3) -> a `data:` URL: PNG where nothing has to be made smaller, else JPEG."""
    image, file = Image.fromarray(pixels), io.BytesIO()
    form = "PNG" if max(image.size) <= THUMBNAIL_SIDE else "JPEG"
    image.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE))
    image.save(file, form, quality=80)
    return f"data:image/{form.lower()};base64,{base64.b64encode(file.getvalue()).decode()}"
