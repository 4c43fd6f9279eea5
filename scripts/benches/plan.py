"""What a dataset of 10 million images costs each of 4,096 ranks before its first batch."""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROWS, RANKS, BATCH = 10_000_000, 4096, 8192
SHAPE = (224, 224, 3)
PER_CHUNK, CHUNKS_PER_SHARD = 16, 28


def measure() -> dict[str, float]:
    """`index_open_s`, `index_mb` (added to the peak of memory), `order_s` (a rank's rows of an epoch)."""
    with tempfile.TemporaryDirectory() as folder:
        _write(Path(folder))
        done = subprocess.run(
            [sys.executable, "-m", __name__, folder], check=True, capture_output=True, text=True
        )
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _write(folder: Path) -> None:
    """The index of a dataset without its shards, which nothing here reads."""
    import numpy as np

    from trainer.dataset.dataset import Split
    from trainer.dataset.manifest import write_manifest, write_split
    from trainer.dataset.shards.ranges import CHUNK
    from trainer.dataset.shards.shard_reader import Shard
    from trainer.storage import open_store

    row_bytes = SHAPE[0] * SHAPE[1] * SHAPE[2]
    count = ROWS // PER_CHUNK
    numbers = np.arange(count)
    chunks = np.zeros(count, CHUNK)
    chunks["object"], within = np.divmod(numbers, CHUNKS_PER_SHARD)
    chunks["offset"] = within * PER_CHUNK * row_bytes
    chunks["length"], chunks["rows"] = PER_CHUNK * row_bytes, PER_CHUNK
    chunks["first"] = numbers * PER_CHUNK
    shard_rows = PER_CHUNK * CHUNKS_PER_SHARD
    shards = -(-count // CHUNKS_PER_SHARD)
    store = open_store(str(folder))
    split = Split(
        name="train",
        rows=ROWS,
        labels=(np.arange(ROWS) % 1000).astype(np.uint16),
        chunks=chunks,
        objects=tuple(
            Shard(
                f"train/{n:05}-0123456789ab.h5", "0" * 32, shard_rows * row_bytes, "0" * 64, shard_rows, 0, 8
            )
            for n in range(shards)
        ),
        row_bytes=row_bytes,
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
        store=store,
    )
    classes = tuple(map(str, range(1000)))
    write_manifest(store, classes, SHAPE, {"train": write_split(store, split)}, {})


def _peak_kib() -> int:
    # getrusage's begins with that of the process which started this one.
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])


def main(folder: str) -> None:
    from trainer.dataset.open_dataset import open_dataset
    from trainer.dataset.order import Order

    before, began = _peak_kib(), time.monotonic()
    split = open_dataset(folder).split("train")
    opened, memory = time.monotonic() - began, (_peak_kib() - before) * 1024
    began = time.monotonic()
    order = Order(split.blocks, split.row_bytes, BATCH, RANKS, 1)
    rank = RANKS // 2
    for step in range(order.steps_per_epoch):
        order.rows(step, range(rank, rank + 1))
    print(json.dumps({"index_open_s": opened, "index_mb": memory / 1e6, "order_s": time.monotonic() - began}))


if __name__ == "__main__":
    main(sys.argv[1])
