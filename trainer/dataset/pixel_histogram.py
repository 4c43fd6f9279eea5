"""How often each pixel value occurs, for the mean and the deviation of a split."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Images = NDArray[np.uint8]


@dataclass(frozen=True)
class PixelHistogram:
    """How often each value comes in each channel, counted exactly: int64 (3, 256)."""

    counts: NDArray[np.int64]

    @classmethod
    def of(cls, images: Images) -> "PixelHistogram":
        """Count images, uint8 (n, H, W, 3)."""
        counts = np.zeros(3 * 256, np.int64)
        step = max(1, (1 << 20) // images[0].nbytes)
        for first in range(0, len(images), step):  # to Pillow they are one tall image
            tall = images[first : first + step].reshape(-1, *images.shape[2:])
            counts += Image.fromarray(tall).histogram()
        return cls(counts.reshape(3, 256))

    def moments(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation of each channel, in 0..255."""
        values = np.arange(256.0)
        totals = self.counts.sum(axis=1)
        mean = self.counts @ values / totals
        std = np.sqrt(np.maximum(0.0, self.counts @ values**2 / totals - mean**2))
        return tuple(mean.tolist()), tuple(std.tolist())
