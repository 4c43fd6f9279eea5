"""`python readers.py METHOD OPTIONS`, in the peers' environment: the benchmark's images, read by others."""

import json
import random
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[3]))
from scripts.benches.measured import Stopwatch, cpu_seconds, report
from scripts.benches.peers.ray_data import ray_data

BATCH = 64


def h5py_s3fs(options: dict[str, Any], *, shuffled: bool = False, **tuning: Any) -> dict[str, float]:
    """Batches of consecutive rows, or of one chunk each in random order."""
    import h5py
    import s3fs

    watch = Stopwatch()

    def batches() -> Iterator[Any]:
        system = s3fs.S3FileSystem(endpoint_url=options["endpoint"])
        for key in options["keys"]:
            with (
                system.open(f"{options['bucket']}/{key}", "rb", **tuning) as raw,
                h5py.File(raw, "r") as file,
            ):
                images = file["images"]
                step = images.chunks[0] if shuffled else BATCH
                starts = list(range(0, len(images), step))
                if shuffled:
                    random.Random(1).shuffle(starts)
                for start in starts:
                    yield images[start : start + step]

    return watch.took(batches())


def write_mds(options: dict[str, Any]) -> dict[str, float]:
    """Our shards' images as mosaicml-streaming's, in a folder."""
    import h5py
    from streaming import MDSWriter

    columns = {"image": "ndarray:uint8", "label": "int"}
    with MDSWriter(out=options["out"], columns=columns, size_limit=1 << 26) as writer:
        for path in options["files"]:
            with h5py.File(path) as file:
                for first in range(0, len(file["labels"]), BATCH):
                    part = slice(first, first + BATCH)
                    for image, label in zip(file["images"][part], file["labels"][part], strict=True):
                        writer.write({"image": image, "label": int(label)})
    return {}


def mosaicml(options: dict[str, Any]) -> dict[str, Any]:
    """Two epochs, in sequence, two workers: the first from S3, the second from its local copy."""
    from streaming import StreamingDataset
    from torch.utils.data import DataLoader

    local = tempfile.mkdtemp(dir=options["folder"])
    found = {}
    try:
        watch = Stopwatch()
        data = StreamingDataset(remote=options["remote"], local=local, shuffle=False, batch_size=BATCH)
        loader = DataLoader(data, batch_size=BATCH, num_workers=2, persistent_workers=True)
        for name in ("cold", "warm"):
            found[name] = watch.took(batch["image"] for batch in loader)
            watch = Stopwatch()
    finally:
        shutil.rmtree(local, ignore_errors=True)
    return found


def s3torchconnector(options: dict[str, Any]) -> dict[str, float]:
    """The shards, each an object that one of two workers reads whole and hands over as an array."""
    import io

    import h5py
    from s3torchconnector import S3ClientConfig, S3IterableDataset
    from torch.utils.data import DataLoader

    def images(found: Any) -> Any:
        with h5py.File(io.BytesIO(found.read()), "r") as file:
            return file["images"][:]

    watch = Stopwatch()
    data = S3IterableDataset.from_prefix(
        f"s3://{options['bucket']}/{options['keys'][0].rsplit('/', 1)[0]}/",
        region="us-east-1",
        endpoint=options["endpoint"],
        s3client_config=S3ClientConfig(force_path_style=True),
        transform=images,
        enable_sharding=True,
    )
    return watch.took(DataLoader(data, batch_size=None, num_workers=2))


METHODS = {
    "h5py_s3fs": h5py_s3fs,
    "h5py_s3fs_tuned": lambda options: h5py_s3fs(options, block_size=16 << 20, cache_type="readahead"),
    "h5py_s3fs_background": lambda options: h5py_s3fs(options, block_size=8 << 20, cache_type="background"),
    "h5py_s3fs_shuffled": lambda options: h5py_s3fs(options, shuffled=True),
    "write_mds": write_mds,
    "mosaicml": mosaicml,
    "s3torchconnector": s3torchconnector,
    "ray_data": ray_data,
}

if __name__ == "__main__":
    cpu_seconds()
    report(METHODS[sys.argv[1]](json.loads(sys.argv[2])))
