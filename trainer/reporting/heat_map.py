"""Where in an image a network looked, as a picture."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from trainer.output.html.thumbnail import thumbnail

SIDE = 160
"""Pixels of the longer side of the image below the map."""

_COLOURS = np.array([(0, 0, 4), (87, 16, 110), (188, 55, 84), (249, 142, 9), (252, 255, 164)], np.float64)
"""Five of matplotlib's "inferno": legible also without colours."""
_ALPHA = 0.6


@dataclass(frozen=True)
class HeatMap:
    """An image, uint8 (H, W, 3), and how much its parts contributed to the predicted class, uint8 (h, w)."""

    pixels: NDArray[np.uint8]
    heat: NDArray[np.uint8]
    class_name: str
    predicted: str
    probability: float
    name: str = ""

    @property
    def image(self) -> str:
        """The image as a `data:` URL."""
        return thumbnail(self.pixels, SIDE)

    @property
    def overlay(self) -> str:
        """The image under its map, as a `data:` URL."""
        height, width = self.pixels.shape[:2]
        heat = Image.fromarray(self.heat).resize((width, height), Image.Resampling.BICUBIC)
        values = np.asarray(heat, np.float64) / 255
        stops = np.linspace(0, 1, len(_COLOURS))
        coloured = np.stack([np.interp(values, stops, _COLOURS[:, i]) for i in range(3)], -1)
        mixed = _ALPHA * coloured + (1 - _ALPHA) * self.pixels
        return thumbnail(mixed.astype(np.uint8), SIDE)
