"""The images of a benchmark: random pixels, prepared as a user would, into its store."""

import shutil
from pathlib import Path
from typing import Any


def make_dataset(folder: Path, bucket: str, megabytes: int, shape: tuple[int, int, int]) -> dict[str, Any]:
    """What the methods need to know of it."""
    import os

    import numpy as np
    from PIL import Image

    from trainer.dataset.index import open_dataset
    from trainer.dataset.preparation.prepare import prepare

    images, url = folder / "images", f"s3://{bucket}/{shape[0]}x{shape[1]}"
    draw = np.random.default_rng(0)
    for number in range(megabytes * 1_000_000 // (shape[0] * shape[1] * shape[2])):
        path = images / str(number % 10) / f"{number}.bmp"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw.integers(0, 256, shape, np.uint8)).save(path)
    prepare(str(images), url, validation=0)
    shutil.rmtree(images)
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
