"""`python -m scripts.benches.readers METHOD OPTIONS`: the benchmark's images, read by us and with boto3."""

import json
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

from scripts.benches.measured import Stopwatch, report

BATCH, THREADS, RANGE_BYTES = 64, 8, 8 << 20


def cold_sequential(options: dict[str, Any]) -> dict[str, Any]:
    import boto3  # noqa: F401  as all methods, before the watch starts

    from trainer.dataset.open_dataset import open_dataset
    from trainer.dataset.reading.reader import Reader

    watch = Stopwatch()
    dataset = open_dataset(options["url"])
    split = dataset.split("train")
    return watch.took(batch.images for batch in Reader(dataset, split).batches_of(range(split.rows), BATCH))


def cold_shuffled(options: dict[str, Any]) -> dict[str, Any]:
    """An epoch in the order of training, on one rank."""
    import boto3  # noqa: F401

    import trainer.dataset.reading.reader  # noqa: F401

    watch = Stopwatch()
    batches, steps = _training(options, None)
    return watch.took(batch.images for batch in islice(batches, steps))


def warm(options: dict[str, Any]) -> dict[str, Any]:
    """The third epoch of training from the disk cache, with labels, as tensors; the first fills the cache."""
    import tensorflow as tf

    from trainer.storage.disk_cache import DiskCache

    with tempfile.TemporaryDirectory(dir=options["folder"]) as folder:
        batches, steps = _training(options, DiskCache(Path(folder), 1 << 40))
        shape = next(batches).images.shape
        signature = (tf.TensorSpec(shape, tf.uint8), tf.TensorSpec(shape[:1], tf.int64))

        def rows() -> Iterator[Any]:
            for batch in batches:
                yield batch.images, batch.labels

        stream = iter(tf.data.Dataset.from_generator(rows, output_signature=signature).prefetch(2))
        for _ in range(2 * steps):
            next(stream)
        watch = Stopwatch()
        found = watch.took(_bytes(next(stream)[0]) for _ in range(steps))
        report(found)
    return found


def tfrecord(options: dict[str, Any]) -> dict[str, Any]:
    """A second epoch of TFRecords from the local disk, shuffled, with labels, as tensors."""
    import tensorflow as tf

    features = {"x": tf.io.FixedLenFeature([], tf.string), "y": tf.io.FixedLenFeature([], tf.int64)}

    def parsed(texts: Any) -> Any:
        found = tf.io.parse_example(texts, features)
        return tf.reshape(tf.io.decode_raw(found["x"], tf.uint8), (BATCH, *options["shape"])), found["y"]

    records = tf.data.TFRecordDataset(options["records"])
    records = records.shuffle(512).repeat().batch(BATCH, drop_remainder=True)
    stream = iter(records.map(parsed, num_parallel_calls=2).prefetch(2))
    steps = options["rows"] // BATCH
    for _ in range(steps):
        next(stream)
    watch = Stopwatch()
    return watch.took(_bytes(next(stream)[0]) for _ in range(steps))


def write_tfrecord(options: dict[str, Any]) -> dict[str, Any]:
    import tensorflow as tf

    from trainer.dataset.open_dataset import open_dataset
    from trainer.dataset.reading.reader import Reader

    dataset = open_dataset(options["url"])
    split = dataset.split("train")

    def feature(**values: Any) -> Any:
        return tf.train.Feature(**{kind: _list(kind, value) for kind, value in values.items()})

    def _list(kind: str, value: Any) -> Any:
        return {"bytes_list": tf.train.BytesList, "int64_list": tf.train.Int64List}[kind](value=[value])

    with tf.io.TFRecordWriter(options["records"]) as writer:
        for batch in Reader(dataset, split).batches_of(range(split.rows), BATCH):
            for image, label in zip(batch.images, batch.labels, strict=True):
                values = {"x": feature(bytes_list=image.tobytes()), "y": feature(int64_list=int(label))}
                writer.write(tf.train.Example(features=tf.train.Features(feature=values)).SerializeToString())
    return {}


def download_h5py(options: dict[str, Any]) -> dict[str, Any]:
    """Each shard is downloaded whole, then read."""
    import boto3
    import h5py

    watch = Stopwatch()

    def batches() -> Iterator[Any]:
        s3 = boto3.client("s3")
        with tempfile.TemporaryDirectory(dir=options["folder"]) as folder:
            for key in options["keys"]:
                path = f"{folder}/shard.h5"
                s3.download_file(options["bucket"], key, path)
                with h5py.File(path) as file:
                    for start in range(0, len(file["images"]), BATCH):
                        yield file["images"][start : start + BATCH]

    return watch.took(batches())


def raw_ranges(options: dict[str, Any]) -> dict[str, Any]:
    """The ceiling: boto3 alone, as many threads, ranges of the same size; the bytes are read and dropped."""
    import boto3
    from botocore.config import Config

    watch = Stopwatch()
    s3 = boto3.client("s3", config=Config(max_pool_connections=THREADS))

    def fetch(part: tuple[str, int, int]) -> int:
        key, start, stop = part
        answer = s3.get_object(Bucket=options["bucket"], Key=key, Range=f"bytes={start}-{stop - 1}")
        return len(answer["Body"].read())

    parts = [
        (key, start, min(start + RANGE_BYTES, size))
        for key, size in zip(options["keys"], options["sizes"], strict=True)
        for start in range(0, size, RANGE_BYTES)
    ]
    with ThreadPoolExecutor(THREADS) as threads:
        return watch.took(threads.map(fetch, parts))


def _training(options: dict[str, Any], cache: Any) -> tuple[Iterator[Any], int]:
    from trainer.dataset.open_dataset import open_dataset
    from trainer.dataset.order import Order
    from trainer.dataset.reading.reader import Reader

    dataset = open_dataset(options["url"], cache=cache)
    split = dataset.split("train")
    order = Order(split.blocks, split.row_bytes, BATCH, BATCH, 1)
    if order.small:
        raise ValueError("Expected more than 256 MiB of images: fewer stay in memory")
    return Reader(dataset, split, order, range(BATCH)).batches(0), order.steps_per_epoch


def _bytes(tensor: Any) -> int:
    return int(tensor.shape.num_elements())


METHODS = {
    method.__name__: method
    for method in (
        *(cold_sequential, cold_shuffled, warm, tfrecord, write_tfrecord, download_h5py, raw_ranges),
    )
}

if __name__ == "__main__":
    report(METHODS[sys.argv[1]](json.loads(sys.argv[2])))
