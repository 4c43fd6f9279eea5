"""Images as they might also have been taken: turned, mirrored, moved."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.uint8]
Change = Callable[[Images], Images]

SHIFT = 0.1
"""Of the width or height; the edge is repeated, as Keras's `fill_mode="nearest"` does."""


def rotated(degrees: int) -> Change:
    """By 90, 180 or 270 degrees, counterclockwise. Images that are not square are turned by 180 alone."""
    return lambda images: np.rot90(images, degrees // 90, axes=(1, 2))


def _shifted(axis: int, sign: int) -> Change:
    def move(images: Images) -> Images:
        length = images.shape[axis]
        places = np.clip(np.arange(length) - sign * round(SHIFT * length), 0, length - 1)
        moved: Images = images.take(places, axis)
        return moved

    return move


def perturbations(shape: tuple[int, int, int]) -> dict[str, Change]:
    """Name -> what is done to images (n, H, W, C) of this shape."""
    quarter = {"turned by 90 degrees": rotated(90), "turned by 270 degrees": rotated(270)}
    return {
        **(quarter if shape[0] == shape[1] else {}),
        "turned by 180 degrees": rotated(180),
        "mirrored left to right": lambda images: images[:, :, ::-1],
        "mirrored top to bottom": lambda images: images[:, ::-1],
        "moved right by 10 %": _shifted(2, 1),
        "moved left by 10 %": _shifted(2, -1),
        "moved down by 10 %": _shifted(1, 1),
        "moved up by 10 %": _shifted(1, -1),
    }
