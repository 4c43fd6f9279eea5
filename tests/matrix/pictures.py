"""The data of the cases: pictures of many sizes, turns and formats, and HDF5 files as others write them."""

from pathlib import Path

import h5py
import numpy as np
from PIL import ExifTags, Image

CLASSES = ("ant", "bee", "cat", "dog", "elk", "fox", "gnu")
PER_CLASS = 12
SIDES = (32, 36)
"""Height and width of prepared images."""
_SIZES = ((40, 60), (33, 70), (64, 64), (150, 90), (20, 24), (36, 32))


def photographs(folder: Path) -> Path:
    """`CLASS/*.jpg` and `*.png`, turned by EXIF in all eight ways."""
    random = np.random.default_rng(3)
    for label, name in enumerate(CLASSES):
        (folder / name).mkdir(parents=True)
        for number in range(PER_CLASS):
            height, width = _SIZES[number % len(_SIZES)]
            image = Image.fromarray(_pixels(random, label, height, width))
            exif = Image.Exif()
            exif[ExifTags.Base.Orientation] = 1 + number % 8
            suffix = "png" if number % 4 == 3 else "jpg"
            image.save(folder / name / f"{number}.{suffix}", exif=exif)
    return folder


def hdf5_files(folder: Path, *, grey: bool) -> Path:
    """`train.h5`, `validation.h5`, `test.h5`: images (n, H, W[, 3]) uint8, labels, class names."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(4)
    for split, per_class in (("train", 8), ("validation", 2), ("test", 2)):
        labels = np.tile(np.arange(len(CLASSES)), per_class)
        images = np.stack([_pixels(random, label, *SIDES) for label in labels])
        with h5py.File(folder / f"{split}.h5", "w", libver="latest") as file:
            file["images"] = images[..., 0] if grey else images
            file["labels"] = labels
            file["list_classes"] = [name.encode() for name in CLASSES]
    return folder


def _pixels(random: np.random.Generator, label: int, height: int, width: int) -> np.ndarray:
    """A colour and a slope of its class, with noise."""
    base = np.array([30 * label + 20, 220 - 25 * label, (90 * label) % 256])
    slope = np.linspace(0, 40 * (label % 3), width)[None, :, None]
    noise = random.normal(0, 20, (height, width, 3))
    return np.clip(base + slope + noise, 0, 255).astype(np.uint8)
