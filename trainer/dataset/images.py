"""One image's bytes -> pixels, with limits checked before anything is decoded."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from trainer.errors import DataError

MAX_PIXELS = 64_000_000
"""More than any camera's photograph; decoded, 192 MB."""
FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP")
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp")


def decode_image(
    data: bytes, size: tuple[int, int] | None = None, name: str = "the image"
) -> NDArray[np.uint8]:
    """Decode one image (of an animation the first) -> RGB, uint8 (height, width, 3).

    Turned as its EXIF orientation says, converted as Keras's `load_img` does (`convert("RGB")`: an alpha
    channel is dropped), and resized bilinearly to `size`, (height, width), if given.
    Raises DataError that names `name` for what is empty, no image, truncated, or above `MAX_PIXELS`.
    """
    if not data:
        raise DataError(f"{name}: the file is empty", "Replace or remove it")
    try:
        opened = Image.open(io.BytesIO(data), formats=FORMATS)
        width, height = opened.size
        if width * height > MAX_PIXELS:
            raise DataError(
                f"{name}: {width}x{height} is more than the limit of {MAX_PIXELS} pixels", "Make it smaller"
            )
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
