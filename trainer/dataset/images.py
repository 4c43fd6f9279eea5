"""One image's bytes -> pixels, with limits checked before anything is decoded."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from trainer.errors import DataError

MAX_PIXELS = 64_000_000
"""More than any camera's photograph; decoded, 192 MB."""
FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF")
SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff")


def decode_image(
    data: bytes | NDArray[np.uint8],
    size: tuple[int, int] | None = None,
    name: str = "the image",
    crop: tuple[int, int, int, int] | None = None,
) -> NDArray[np.uint8]:
    """Decode one image (of an animation the first), or take its pixels -> RGB, uint8 (height, width, 3).

    Cut to `crop`, (left, top, right, bottom) of the stored pixels, if given. Turned as its EXIF orientation
    says, converted as Keras's `load_img` does (`convert("RGB")`: an alpha channel is dropped), and resized
    bilinearly to `size`, (height, width), if given.
    Raises DataError that names `name` for what is empty, no image, truncated, or above `MAX_PIXELS`.
    """
    if not len(data):
        raise DataError(f"{name}: the file is empty", "Replace or remove it")
    try:
        opened = (
            Image.open(io.BytesIO(data), formats=FORMATS)
            if isinstance(data, bytes)
            else Image.fromarray(data)
        )
        width, height = opened.size
        if width * height > MAX_PIXELS:
            raise DataError(
                f"{name}: {width}x{height} is more than the limit of {MAX_PIXELS} pixels", "Make it smaller"
            )
        if crop:
            opened = opened.crop(_inside(crop, width, height, name))
        image = ImageOps.exif_transpose(opened).convert("RGB")
        if size is not None and image.size != (size[1], size[0]):
            image = image.resize((size[1], size[0]), Image.Resampling.BILINEAR)
        return np.asarray(image)
    except DataError:
        raise
    except UnidentifiedImageError:
        raise DataError(
            f"{name}: not an image in one of the formats {', '.join(FORMATS)}", "Replace or remove it"
        ) from None
    except Image.DecompressionBombError:
        raise DataError(f"{name}: more than the limit of {MAX_PIXELS} pixels", "Make it smaller") from None
    except Exception as error:
        # Damaged files make Pillow's decoders raise errors of many kinds, SyntaxError among them.
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{name}: a damaged image ({reason})", "Replace or remove it") from error


def _inside(box: tuple[int, int, int, int], width: int, height: int, name: str) -> tuple[int, int, int, int]:
    """The part of a box that lies in the image. Raises DataError where much of it does not: then the box
    belongs to another image, or this one was cropped before."""
    left, top, right, bottom = box
    inner = (max(0, left), max(0, top), min(width, right), min(height, bottom))
    area = max(0, inner[2] - inner[0]) * max(0, inner[3] - inner[1])
    if not area or area < 0.9 * (right - left) * (bottom - top):
        raise DataError(
            f"{name}: the box {box} does not lie in the image of {width}x{height} pixels",
            "Leave out --crop if the images are cropped already",
        )
    return inner
