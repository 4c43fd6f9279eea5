"""A small image inside a page, as a data URL."""

import base64
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

THUMBNAIL_SIDE = 128
"""Pixels of the longer side, at most; the style sheet enlarges smaller images to it."""
MAX_PNG_PIXELS = 64 * 64
"""A photo with more is several times larger as PNG than as JPEG."""


def thumbnail(pixels: NDArray[np.uint8], side: int = THUMBNAIL_SIDE) -> str:
    """uint8 (H, W, 3) -> a `data:` URL: PNG of small images that fit as they are, else JPEG."""
    image, file = Image.fromarray(pixels), io.BytesIO()
    small = max(image.size) <= side and image.width * image.height <= MAX_PNG_PIXELS
    form = "PNG" if small else "JPEG"
    image.thumbnail((side, side))
    image.save(file, form, quality=80)
    return f"data:image/{form.lower()};base64,{base64.b64encode(file.getvalue()).decode()}"
