"""The images of a benchmark, prepared as a user would, into its store."""

import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from trainer.dataset.open_dataset import open_dataset
from trainer.preparation.prepare import prepare

Shape = tuple[int, int, int]
Images = NDArray[np.uint8]


def make_dataset(folder: Path, bucket: str, megabytes: int, shape: Shape) -> dict[str, Any]:
    """Of random pixels. Returns what the methods need to know of it."""
    url = f"s3://{bucket}/{shape[0]}x{shape[1]}"
    make_random_dataset(folder, url, megabytes * 1_000_000 // (shape[0] * shape[1] * shape[2]), shape)
    split = open_dataset(url).split("train")
    prefix = url.removeprefix(f"s3://{bucket}/")
    return {
        "url": url,
        "bucket": bucket,
        "endpoint": os.environ["AWS_ENDPOINT_URL"],
        "keys": [f"{prefix}/{shard.key}" for shard in split.objects],
        "sizes": [shard.size for shard in split.objects],
        "rows": split.rows,
        "shape": list(shape),
        "folder": str(folder),
    }


def make_random_dataset(folder: Path, url: str, count: int, shape: Shape) -> None:
    """`count` training images of random pixels, of ten classes."""
    draw = np.random.default_rng(0)
    _prepare(folder, url, (draw.integers(0, 256, shape, np.uint8) for _ in range(count)))


def make_jpeg_dataset(folder: Path, bucket: str, count: int, shape: Shape) -> str:
    """Of JPEG rows, as smooth and as noisy as photographs. Returns its URL."""
    url = f"s3://{bucket}/jpeg"
    _prepare(folder, url, photographs(count, shape), encoding="jpeg")
    return url


def photographs(count: int, shape: Shape) -> Iterator[Images]:
    height, width, _ = shape
    draw = np.random.default_rng(0)
    for first in range(0, count, 50):
        coarse = Image.fromarray(draw.integers(0, 256, (20, 20, 3), np.uint8))
        smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), np.float32)
        base = np.clip(smooth + draw.normal(0, 5, shape), 0, 255).astype(np.uint8)
        for number in range(min(50, count - first)):
            yield np.roll(base, 3 * number, axis=1)


def _prepare(folder: Path, url: str, images: Iterable[Images], **options: Any) -> None:
    for number, image in enumerate(images):
        path = folder / "images" / str(number % 10) / f"{number}.bmp"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    prepare(str(folder / "images"), url, validation=0, **options)
    shutil.rmtree(folder / "images")
