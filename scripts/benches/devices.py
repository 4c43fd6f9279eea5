"""`python -m scripts.benches.devices METHOD OPTIONS`: our reader, and devices that only seem to compute."""

import heapq
import json
import queue
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scripts.benches.measured import report


def unthrottled(options: dict[str, Any]) -> dict[str, Any]:
    """The images of so many steps after the first, each asked for as soon as the one before came."""
    batches = _batches(options)
    next(batches)
    began = time.monotonic()
    images = sum(len(next(batches).images) for _ in range(options["steps"]))
    return {"images": images, "seconds": time.monotonic() - began}


def emulated(options: dict[str, Any]) -> dict[str, Any]:
    """The share of the time in which `devices` compute, that each take a batch whenever they are free. Two
    batches are ready before, as for a training."""
    devices, compute = options["devices"], options["compute_s"]
    batches = _ready(_batches(options), 2)
    next(batches)
    began = time.monotonic()
    free = [began] * devices
    for _ in range(options["steps"]):
        time.sleep(max(0.0, free[0] - time.monotonic()))
        next(batches)
        heapq.heapreplace(free, time.monotonic() + compute)
    return {"busy": options["steps"] * compute / devices / (max(free) - began)}


def restore(options: dict[str, Any]) -> dict[str, Any]:
    """Seconds from an open dataset to the first batch in the middle of an epoch, from a warm cache."""
    from trainer.dataset.open_dataset import open_dataset
    from trainer.dataset.reading.reader import Reader
    from trainer.storage.disk_cache import DiskCache

    seconds = 0.0
    with tempfile.TemporaryDirectory(dir=options["folder"]) as folder:
        for filled in (False, True):
            dataset = open_dataset(options["url"], cache=DiskCache(Path(folder), 1 << 40))
            split = dataset.split("train")
            order = _order(split, options["batch"])
            reader = Reader(dataset, split, order, range(order.lanes))
            began, middle = time.monotonic(), order.steps_per_epoch // 2
            batches = reader.batches(middle if filled else 0)
            for _ in range(1 if filled else order.steps_per_epoch):
                next(batches)
            seconds = time.monotonic() - began
            batches.close()  # type: ignore[attr-defined]
        report({"seconds": seconds})
    return {"seconds": seconds}


def _ready(batches: Iterator[Any], ahead: int) -> Iterator[Any]:
    made: queue.Queue[Any] = queue.Queue(ahead)

    def fill() -> None:
        for batch in batches:
            made.put(batch)

    threading.Thread(target=fill, daemon=True).start()
    while True:
        yield made.get()


def _batches(options: dict[str, Any]) -> Iterator[Any]:
    from trainer.dataset.open_dataset import open_dataset
    from trainer.dataset.reading.reader import Reader

    dataset = open_dataset(options["url"])
    split = dataset.split("train")
    order = _order(split, options["batch"])
    return Reader(dataset, split, order, range(order.lanes)).batches(0)


def _order(split: Any, batch: int) -> Any:
    from trainer.dataset.order import Order, default_lanes

    order = Order(split.blocks, split.row_bytes, batch, default_lanes(batch), 1)
    if order.small:
        raise ValueError("Expected more than 256 MiB of images: fewer stay in memory")
    return order


METHODS = {method.__name__: method for method in (unthrottled, emulated, restore)}

if __name__ == "__main__":
    report(METHODS[sys.argv[1]](json.loads(sys.argv[2])))
