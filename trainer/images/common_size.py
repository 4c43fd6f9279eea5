"""The size that photographs of different sizes get where nobody chose one."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from statistics import median

from trainer.errors import DataError
from trainer.images.codec import EncodedImage
from trainer.images.decoding import READERS, ImageLoader, ItemT

MEASURED_IMAGES = 32
MAX_SIDE = 224
"""Pixels: what the networks of keras.applications were trained on."""
SMALL_SIDE = 64
"""Pixels: images up to this size are not treated as photographs."""


def common_size(source: ImageLoader[ItemT], items: Sequence[ItemT]) -> tuple[tuple[int, int] | None, str]:
    """A (height, width) for photographs that differ in size, and a sentence that says why.

    A square, of the median short side up to MAX_SIDE, of up to MEASURED_IMAGES of the images. None where
    those have one size, or are small: then a different one is more likely a mistake.
    """
    step = max(1, -(-len(items) // MEASURED_IMAGES))
    with ThreadPoolExecutor(READERS) as pool:
        measured = pool.map(lambda item: _size(source, item), items[::step])
        sizes = sorted(size for size in measured if size)
    short = median(min(size) for size in sizes) if sizes else 0
    if short <= SMALL_SIDE or sizes[0] == sizes[-1]:
        return None, ""
    side = min(MAX_SIDE, int(short))
    smallest, largest = (f"{height} x {width}" for height, width in (sizes[0], sizes[-1]))
    return (side, side), (
        f"resized to {side} x {side}, as the images have different sizes ({smallest} to {largest}); "
        "--image-size changes it"
    )


def _size(source: ImageLoader[ItemT], item: ItemT) -> tuple[int, int] | None:
    """None for an image that cannot be read: whoever decodes it reports that."""
    try:
        return EncodedImage(source.load(item), name=item.key, crop=item.crop).size
    except (DataError, OSError):
        return None
