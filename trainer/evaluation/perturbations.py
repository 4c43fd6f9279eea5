"""Perturbations of images: rotated, flipped, shifted."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.uint8]
Change = Callable[[Images], Images]

SHIFT = 0.1
"""Fraction of the width or height; the edge is repeated, as with Keras's `fill_mode="nearest"`."""


def rotated(degrees: int) -> Change:
    """Rotates by 90, 180 or 270 degrees, counterclockwise. Non-square images are rotated by 180 only."""
    return lambda images: np.rot90(images, degrees // 90, axes=(1, 2))


def _shifted(axis: int, sign: int) -> Change:
    def shift(images: Images) -> Images:
        length = images.shape[axis]
        indices = np.clip(np.arange(length) - sign * round(SHIFT * length), 0, length - 1)
        moved: Images = images.take(indices, axis)
        return moved

    return shift


def perturbations(shape: tuple[int, int, int]) -> dict[str, Change]:
    """The perturbations of images (n, H, W, C) of this shape, by name."""
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
