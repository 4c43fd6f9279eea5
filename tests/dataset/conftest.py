"""Small datasets of made-up images, prepared for real."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trainer.dataset.dataset import Dataset
from trainer.dataset.index import open_dataset
from trainer.preparation.prepare import prepare

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


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """600 images of 5x4 in three classes, in many small chunks and shards."""
    root = tmp_path_factory.mktemp("dataset")
    make_folders(root / "images", {"cat": 300, "dog": 200, "owl": 100})
    prepare(
        str(root / "images"), str(root / "made"), shard_bytes=6000, rows_of_chunk=7, validation=0.2, test=0.1
    )
    return open_dataset(str(root / "made"))
