"""One image's bytes -> pixels, with limits checked before anything is decoded."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from trainer.errors import DataError, one_line

MAX_PIXELS = 64_000_000
"""More than any camera's photograph; decoded, 192 MB."""
FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "PPM", "AVIF", "JPEG2000")
HEIF_SUFFIXES = (".heic", ".heif")
SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".avif", ".jp2", ".j2k", ".jpx", *HEIF_SUFFIXES),
)

Resize = Literal["squash", "crop", "pad"]
"""How an image is resized: stretched; scaled by its short side and center-cropped; or scaled by its long side
and padded with black."""

Box = tuple[int, int, int, int]

DRAFT = 2
"""A JPEG is decoded at 1/2, 1/4 or 1/8 where that is still at least this many times its new size."""

JPEG_QUALITY = 95
"""The highest that Keras's and Pillow's documents advise: above it files grow and images hardly differ."""

_EIGHT_BIT = {"1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV"}
_BYTES = {"1": 1, "L": 1, "P": 1, "I;16": 2}
"""Bytes of a pixel as Pillow holds it; 4 in other modes, also in RGB."""
_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
_ROTATED = {5, 6, 7, 8}
_ORIENTATION = 0x0112


class EncodedImage:
    """One image (of an animation the first) of which the header is read: `decode` gives its pixels.

    `data` is a file's bytes, or its pixels (H, W, 3) or (H, W, 1). `crop` is (left, top, right, bottom) of
    the stored pixels.

    `decoding_bytes` is about the memory that this takes. All of it raises DataError that names `name` for
    what is empty, not an image, truncated, above `MAX_PIXELS`, or has pixels that do not become 8 bits.
    """

    def __init__(
        self,
        data: bytes | NDArray[np.uint8],
        size: tuple[int, int] | None = None,
        name: str = "the image",
        resize: Resize = "squash",
        crop: Box | None = None,
    ) -> None:
        self._name, self._resize, self._crop = name, resize, crop
        self._size = (size[1], size[0]) if size else None
        if not len(data):
            raise DataError(f"{name}: the file is empty", "Replace or remove it")
        with _explained(name):
            self._image: Image.Image = (
                Image.open(io.BytesIO(data), formats=_formats(data, name))
                if isinstance(data, bytes)
                else Image.fromarray(data[..., 0] if data.shape[2:] == (1,) else data)
            )
            width, height = self._image.size
            if width * height > MAX_PIXELS:
                raise DataError(
                    f"{name}: {width}x{height} is more than the limit of {MAX_PIXELS} pixels",
                    "Make it smaller",
                )
            if crop:
                self._crop = _inside(crop, width, height, name)
            self._orientation = self._image.getexif().get(_ORIENTATION, 1)
            coefficients = 6 * width * height if self._image.info.get("progressive") else 0
            self._draft()
            width, height = self._image.size
            copies = 1 if self._orientation == 1 else 2
            pixel = copies * _BYTES.get(self._image.mode, 4) + (4 if self._image.mode != "RGB" else 0)
            self.decoding_bytes = width * height * pixel + coefficients

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of what is decoded without a size to resize to."""
        left, top, right, bottom = self._crop or (0, 0, *self._image.size)
        width, height = right - left, bottom - top
        return (width, height) if self._orientation in _ROTATED else (height, width)

    def decode(self) -> NDArray[np.uint8]:
        """RGB, uint8 (height, width, 3); see `decode_image`."""
        with _explained(self._name):
            self._image.load()
            if self._crop:
                self._image = self._image.crop(self._crop)
            if self._orientation != 1:
                ImageOps.exif_transpose(self._image, in_place=True)
            image = _eight_bit(self._image, self._name)
            return np.asarray(image if self._size is None else _resized(image, self._size, self._resize))

    def _draft(self) -> None:
        if self._size is None or self._crop or self._image.format not in ("JPEG", "MPO"):
            return
        size = self._image.size
        if self._orientation in _ROTATED:
            size = (size[1], size[0])
        wanted = [DRAFT * side for side in _scaled(size, self._size, self._resize)]
        if size != self._image.size:
            wanted.reverse()
        self._image.draft(None, (wanted[0], wanted[1]))


def decode_image(
    data: bytes | NDArray[np.uint8],
    size: tuple[int, int] | None = None,
    name: str = "the image",
    resize: Resize = "squash",
    crop: Box | None = None,
) -> NDArray[np.uint8]:
    """Decode one image (of an animation the first), or take its pixels -> RGB, uint8 (height, width, 3).

    Cut to `crop`, (left, top, right, bottom) of the stored pixels; turned as its EXIF orientation says;
    converted as Keras's `load_img` does (`convert("RGB")`: an alpha channel is dropped), but that of 16-bit
    grey the high byte is taken, as Pillow does for 16-bit RGB; and resized bilinearly to `size`, (height,
    width), if given. A JPEG of more than `DRAFT` times that size is decoded at 1/2, 1/4 or 1/8 first.
    Raises DataError that names `name` for what is empty, not an image, truncated, above `MAX_PIXELS`, or has
    pixels that do not become 8 bits.
    """
    return EncodedImage(data, size, name, resize, crop).decode()


def encode_jpeg(pixels: NDArray[np.uint8]) -> bytes:
    """RGB, uint8 (H, W, 3) -> a JPEG file of `JPEG_QUALITY`."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=JPEG_QUALITY)
    return file.getvalue()


def decode_jpeg(data: bytes | memoryview, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """A file of `encode_jpeg` -> RGB, uint8 of `shape`, (H, W, 3). Raises ValueError for one of another
    shape, or that is damaged."""
    try:
        image = Image.open(io.BytesIO(data), formats=("JPEG",))
        if (image.height, image.width, len(image.getbands())) != shape:
            raise ValueError(f"it is {image.width}x{image.height} {image.mode}")
        return np.asarray(image)
    except MemoryError:
        raise
    except Exception as error:  # damaged files make Pillow raise errors of many kinds
        raise ValueError(f"corrupt JPEG ({one_line(error)})") from error


def _eight_bit(image: Image.Image, name: str) -> Image.Image:
    if image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    elif image.mode not in _EIGHT_BIT:
        kind = {"I": "32-bit integers", "F": "32-bit floats"}.get(image.mode, f"of the mode {image.mode}")
        raise DataError(
            f"{name}: its pixels are {kind}; expected 8 or 16 bits a channel", "Convert it, or remove it"
        )
    return image if image.mode == "RGB" else image.convert("RGB")  # of RGB it would be a copy


def _scaled(size: tuple[int, int], wanted: tuple[int, int], resize: Resize) -> tuple[int, int]:
    """(width, height) to which the whole of an image of `size` is scaled to become `wanted`."""
    if resize == "squash":
        return wanted
    factors = (wanted[0] / size[0], wanted[1] / size[1])
    factor = max(factors) if resize == "crop" else min(factors)
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def _resized(image: Image.Image, wanted: tuple[int, int], resize: Resize) -> Image.Image:
    if image.size == wanted:
        return image
    if resize == "pad":
        inner = image.resize(_scaled(image.size, wanted, resize), Image.Resampling.BILINEAR)
        image = Image.new("RGB", wanted)
        image.paste(inner, ((wanted[0] - inner.width) // 2, (wanted[1] - inner.height) // 2))
        return image
    box = None
    if resize == "crop":
        width, height = image.size
        used = min(width, height * wanted[0] / wanted[1]), min(height, width * wanted[1] / wanted[0])
        left, top = (width - used[0]) / 2, (height - used[1]) / 2
        box = (left, top, left + used[0], top + used[1])
    return image.resize(wanted, Image.Resampling.BILINEAR, box=box)


def _formats(data: bytes, name: str) -> tuple[str, ...]:
    """The formats that a file may have. Raises DataError for HEIC where nothing reads it."""
    if data[4:8] != b"ftyp" or data[8:12] not in _HEIF_BRANDS or b"avif" in data[12:64]:
        return FORMATS
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        raise DataError(
            f"{name}: a HEIC image, which is read by pillow-heif, and that is not installed",
            "pip install 'cars-trainer[heic]', or convert the image to JPEG",
        ) from None
    register_heif_opener()
    return ("HEIF",)


@contextmanager
def _explained(name: str) -> Iterator[None]:
    """Pillow's errors as DataError."""
    try:
        yield
    except (DataError, MemoryError):
        raise
    except UnidentifiedImageError:
        raise DataError(
            f"{name}: not an image in one of the formats {', '.join(FORMATS)}", "Replace or remove it"
        ) from None
    except Image.DecompressionBombError:
        raise DataError(f"{name}: more than the limit of {MAX_PIXELS} pixels", "Make it smaller") from None
    except Exception as error:
        # Damaged files make Pillow's decoders raise errors of many kinds, SyntaxError among them.
        reason = one_line(error)
        raise DataError(f"{name}: corrupt image ({reason})", "Replace or remove it") from error


def _inside(box: tuple[int, int, int, int], width: int, height: int, name: str) -> tuple[int, int, int, int]:
    """The part of a box that lies in the image. Raises DataError where much of it does not: then the box
    belongs to another image, or this one was cropped before."""
    left, top, right, bottom = box
    inner = (max(0, left), max(0, top), min(width, right), min(height, bottom))
    area = max(0, inner[2] - inner[0]) * max(0, inner[3] - inner[1])
    if not area or area < 0.9 * (right - left) * (bottom - top):
        raise DataError(
            f"{name}: the bounding box {box} is not inside the image of {width}x{height} pixels",
            "Omit --crop if the images are cropped already",
        )
    return inner
