"""Folders of images of random pixels."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

MakeFolders = Callable[..., Path]


def make_folders(root: Path, counts: dict[str, int], size: tuple[int, int] = (5, 4), seed: int = 0) -> Path:
    """PNG images of random pixels, (height, width), in each folder as many as said."""
    generator = np.random.default_rng(seed)
    for folder, count in counts.items():
        (root / folder).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            pixels = generator.integers(0, 256, (*size, 3), np.uint8)
            Image.fromarray(pixels).save(root / folder / f"{number:04d}.png")
    return root
