"""Random changes of training images, drawn by (seed, epoch, row) and by nothing else."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from trainer.dataset.counter_rng import uniform

POINTS = 6
"""Points of the grid of an elastic deformation, down and across; see `elastic`."""

_DRAWS = 21
_BRIGHTNESS, _SHEAR, _CONTRAST, _CHANNEL_SHIFT, _ELASTIC = 7, 8, 9, 10, 100
"""The numbers of their draws; those before them are of `transforms`. They stay the same for ever."""

Draws = dict[str, NDArray[np.float32]]
"""What is drawn for a few images, by the names of `image_changes.CHANGES`."""


@dataclass(frozen=True)
class Augmentation:
    """Flips with probability a half; everything else evenly up to its value, either way.

    Attributes:
        rotate: degrees.
        shift: a fraction of the height and of the width, or one for each of them.
        zoom: each axis by a factor of 1 - zoom to 1 + zoom (as Keras's ImageDataGenerator).
        brightness: pixels are multiplied by 1 - brightness to 1 + brightness.
        shear: degrees, as Keras's `shear_range`.
        contrast: the distance from the image's mean is multiplied by 1 - contrast to 1 + contrast.
        channel_shift: added to all channels, in 0..255, as Keras's `channel_shift_range`.
        elastic: the displacement of points in the image, a fraction of height and width.
    """

    flip: Literal["none", "horizontal", "vertical", "both"] = "none"
    rotate: float = 0.0
    shift: float | tuple[float, float] = 0.0
    zoom: float = 0.0
    brightness: float = 0.0
    shear: float = 0.0
    contrast: float = 0.0
    channel_shift: float = 0.0
    elastic: float = 0.0

    @property
    def shifts(self) -> tuple[float, float]:
        """The fractions of the height and of the width."""
        return self.shift if isinstance(self.shift, tuple) else (self.shift, self.shift)

    @property
    def moves(self) -> bool:
        """Whether it draws `transforms`, which move an image as a whole."""
        return bool(self.flip != "none" or self.rotate or any(self.shifts) or self.zoom or self.shear)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shapes, for each image, of what `draw` gives."""
        wanted = {
            "grids": (self.elastic, (POINTS, POINTS, 2)),
            "transforms": (self.moves, (8,)),
            "offsets": (self.channel_shift, ()),
            "contrasts": (self.contrast, ()),
            "factors": (self.brightness, ()),
        }
        return {name: shape for name, (used, shape) in wanted.items() if used}

    def draw(self, seed: int, epoch: int, rows: NDArray[np.int64], height: int, width: int) -> Draws:
        """What is drawn for each of `rows` (n,), float32 (n, …), in images of this size."""
        drawn: dict[str, Callable[[], NDArray[np.floating]]] = {
            "grids": lambda: self.grids(seed, epoch, rows, height, width),
            "transforms": lambda: self.transforms(seed, epoch, rows, height, width),
            "offsets": lambda: self.channel_shift * _even(_CHANNEL_SHIFT, seed, epoch, rows),
            "contrasts": lambda: 1 + self.contrast * _even(_CONTRAST, seed, epoch, rows),
            "factors": lambda: self.factors(seed, epoch, rows),
        }
        return {name: drawn[name]().astype(np.float32) for name in self.shapes}

    def factors(self, seed: int, epoch: int, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """What the pixels of each of `rows` (n,) are multiplied by, float32 (n,)."""
        return (1 + self.brightness * _even(_BRIGHTNESS, seed, epoch, rows)).astype(np.float32)

    def grids(
        self, seed: int, epoch: int, rows: NDArray[np.int64], height: int, width: int
    ) -> NDArray[np.float32]:
        """The displacements, down and to the right, of the grid of points of each of `rows` (n,), in pixels:
        float32 (n, POINTS, POINTS, 2); see `elastic.displaced`."""
        places = _ELASTIC + np.arange(POINTS * POINTS * 2).reshape(POINTS, POINTS, 2)
        draws = uniform(_DRAWS, seed, epoch, rows[:, None, None, None], places)
        return (self.elastic * np.array([height, width]) * (2 * draws - 1)).astype(np.float32)

    def transforms(
        self, seed: int, epoch: int, rows: NDArray[np.int64], height: int, width: int
    ) -> NDArray[np.float32]:
        """The source of the pixels of each of `rows` (n,), float32 (n, 8), as `affine` has them."""
        draws = uniform(_DRAWS, seed, epoch, rows[:, None], np.arange(7))
        even = 2 * draws - 1
        down, right = self.shifts
        tall, wide = 1 + self.zoom * even[:, 3], 1 + self.zoom * even[:, 4]
        if self.flip in ("horizontal", "both"):
            wide = np.where(draws[:, 5] < 0.5, -wide, wide)
        if self.flip in ("vertical", "both"):
            tall = np.where(draws[:, 6] < 0.5, -tall, tall)
        return affine(
            height,
            width,
            angle=np.deg2rad(self.rotate) * even[:, 0],
            shear=np.deg2rad(self.shear) * _even(_SHEAR, seed, epoch, rows),
            tall=tall,
            wide=wide,
            down=down * height * even[:, 1],
            right=right * width * even[:, 2],
        )


def _even(number: int, seed: int, epoch: int, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """The draw of this number for each row, in -1..1."""
    return 2 * uniform(_DRAWS, seed, epoch, rows, number) - 1


def affine(
    height: int,
    width: int,
    *,
    angle: NDArray[np.float64],
    shear: NDArray[np.float64],
    tall: NDArray[np.float64],
    wide: NDArray[np.float64],
    down: NDArray[np.float64],
    right: NDArray[np.float64],
) -> NDArray[np.float32]:
    """The source of the pixels of n images, float32 (n, 8): (a, b, c, d, e, f, 0, 0) takes the pixel at
    (x, y) from (ax + by + c, dx + ey + f), as `ImageProjectiveTransformV3` wants it.

    Args:
        angle: (n,), in radians, of the rotation, counterclockwise, as the others.
        shear: (n,), in radians.
        tall, wide: (n,) factors of the axes; negative ones flip.
        down, right: (n,), in pixels, how far the source is from the pixel.
    """
    # About the middle of the image, so that a flip alone moves whole pixels.
    x, y = (width - 1) / 2, (height - 1) / 2
    cos, sin, along, across = np.cos(angle), np.sin(angle), np.cos(shear), np.sin(shear)
    # Rotation, shear and zoom in this order, as Keras's `apply_affine_transform` multiplies them.
    a, b = cos * wide, (-cos * across - sin * along) * tall
    d, e = sin * wide, (cos * along - sin * across) * tall
    zero = np.zeros(len(angle))
    return np.stack(
        [a, b, x + right - a * x - b * y, d, e, y + down - d * x - e * y, zero, zero], axis=1
    ).astype(np.float32)
