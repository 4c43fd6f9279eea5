"""How many accelerators one reader on this machine feeds: MLPerf-Storage-shaped, and no result of it.

The shape is that of its ResNet-50 on H100: batches of 400 images of 114,660 bytes, 0.224 s of compute each,
which is slept here. An accelerator is fed when it computes 90 % of the time, over 500 batches after one.
https://github.com/mlcommons/storage

CARS_BENCH_MB: how much data, 2,000 MB without. Client and server share this machine's cores.
"""

import math
import os
import random
from functools import cache
from typing import Any

from scripts.benches.images import make_dataset, make_jpeg_dataset
from scripts.benches.methods import REASONS, download, run
from scripts.benches.store import kept_store
from trainer.storage import open_store

SHAPE = (195, 196, 3)
BATCH, SECONDS, FED, STEPS = 400, 0.224, 0.9, 500
PEERS = ("mosaicml", "s3torchconnector")

__all__ = ["REASONS", "measure"]


def measure() -> dict[str, float | None]:
    """One round: each method in a process of its own, in random order."""
    setup = _setup()
    found: dict[str, Any] = {}
    methods = ["raw", "jpeg", "restore", *PEERS]
    random.shuffle(methods)
    for method in methods:
        found[method] = _fed(setup, method) if method in ("raw", "jpeg") else _other(setup, method)
    raw, jpeg = found["raw"], found["jpeg"]
    rates = {peer: _rate(figures) for peer, figures in found.items() if peer in PEERS}
    return {
        "h100s_fed": raw["devices"],
        "h100s_fed_jpeg": jpeg["devices"],
        "busy": raw["busy"],
        "busy_jpeg": jpeg["busy"],
        "images_per_second": raw["rate"],
        "images_per_second_jpeg": jpeg["rate"],
        **{f"images_per_second_{peer}": rate for peer, rate in rates.items()},
        **{f"h100s_fed/{peer}": raw["rate"] / rate if rate else None for peer, rate in rates.items()},
        "first_batch_after_restore_s": found["restore"]["seconds"],
    }


def _fed(setup: dict[str, Any], encoding: str) -> dict[str, float]:
    """As many devices as could be fed at full speed are tried, then fewer until they are."""
    options = setup | {"url": setup[f"url_{encoding}"], "batch": BATCH, "compute_s": SECONDS}
    at_full_speed = run("unthrottled", options | {"steps": STEPS // 5}, "scripts.benches.devices")
    assert at_full_speed is not None
    rate = at_full_speed["images"] / at_full_speed["seconds"]
    for devices in range(math.ceil(rate * SECONDS / BATCH / FED), 0, -1):
        emulated = run("emulated", options | {"steps": STEPS, "devices": devices}, "scripts.benches.devices")
        assert emulated is not None
        if emulated["busy"] >= FED:
            return {"devices": devices, "busy": emulated["busy"], "rate": rate}
    return {"devices": 0, "busy": 0.0, "rate": rate}


def _other(setup: dict[str, Any], method: str) -> dict[str, Any] | None:
    if method == "restore":
        return run(method, setup | {"url": setup["url_raw"], "batch": BATCH}, "scripts.benches.devices")
    return run(method, setup)


def _rate(figures: dict[str, Any] | None) -> float | None:
    if figures is None:
        return None
    cold = figures.get("cold", figures)
    return float(cold["bytes"] / math.prod(SHAPE) / cold["seconds"])


@cache
def _setup() -> dict[str, Any]:
    bucket, folder = kept_store()
    megabytes = int(os.environ.get("CARS_BENCH_MB", "2000"))
    options = make_dataset(folder, bucket, megabytes, SHAPE)
    options |= {
        "url_raw": options["url"],
        "url_jpeg": make_jpeg_dataset(folder, bucket, options["rows"], SHAPE),
    }
    options["remote"] = f"s3://{bucket}/mds"
    mds = folder / "mds"
    if run("write_mds", options | {"out": str(mds), "files": download(options)}) is not None:
        store = open_store(options["remote"])
        for path in mds.iterdir():
            store.put_file(path.name, path)
    os.environ["S3_ENDPOINT_URL"] = options["endpoint"]  # as mosaicml-streaming calls it
    return options
