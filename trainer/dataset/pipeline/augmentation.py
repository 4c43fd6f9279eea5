"""Random changes of training images, each drawn from (seed, epoch, row) alone, however rows are batched."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from trainer.dataset.counter_rng import uniform

_DRAWS = 21
_BRIGHTNESS = 7
"""The number of its draw; those before it are of `transforms`."""


@dataclass(frozen=True)
class Augmentation:
    """Flips with probability a half; `rotate` up to that many degrees, `shift` up to a fraction of the height
    and of the width, `zoom` by a factor of 1 - zoom to 1 + zoom for each axis, all evenly either way
    (as Keras's ImageDataGenerator); `brightness` multiplies pixels by 1 - brightness to 1 + brightness."""

    flip: Literal["none", "horizontal", "vertical", "both"] = "none"
    rotate: float = 0.0
    shift: float = 0.0
    zoom: float = 0.0
    brightness: float = 0.0

    @property
    def moves(self) -> bool:
        """Whether it changes where pixels come from."""
        return replace(self, brightness=0.0) != Augmentation()

    def factors(self, seed: int, epoch: int, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """What the pixels of each of `rows` (n,) are multiplied by, float32 (n,)."""
        draws = uniform(_DRAWS, seed, epoch, rows, _BRIGHTNESS)
        return (1 + self.brightness * (2 * draws - 1)).astype(np.float32)

    def transforms(
        self, seed: int, epoch: int, rows: NDArray[np.int64], height: int, width: int
    ) -> NDArray[np.float32]:
        """The source of the pixels of each of `rows` (n,), float32 (n, 8): (a, b, c, d, e, f, 0, 0) takes
        the pixel at (x, y) from (ax + by + c, dx + ey + f), as `ImageProjectiveTransformV3` wants it."""
        draws = uniform(_DRAWS, seed, epoch, rows[:, None], np.arange(7))
        even = 2 * draws - 1
        angle = np.deg2rad(self.rotate) * even[:, 0]
        down, right = self.shift * height * even[:, 1], self.shift * width * even[:, 2]
        tall, wide = 1 + self.zoom * even[:, 3], 1 + self.zoom * even[:, 4]
        if self.flip in ("horizontal", "both"):
            wide = np.where(draws[:, 5] < 0.5, -wide, wide)
        if self.flip in ("vertical", "both"):
            tall = np.where(draws[:, 6] < 0.5, -tall, tall)
        # About the middle of the image, so that a flip alone moves whole pixels.
        x, y = (width - 1) / 2, (height - 1) / 2
        a, b = np.cos(angle) * wide, -np.sin(angle) * tall
        d, e = np.sin(angle) * wide, np.cos(angle) * tall
        zero = np.zeros(len(rows))
        return np.stack(
            [a, b, x + right - a * x - b * y, d, e, y + down - d * x - e * y, zero, zero], axis=1
        ).astype(np.float32)
