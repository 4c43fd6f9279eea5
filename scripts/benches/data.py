"""How fast images come out of object storage, against other ways to read the same ones.

CARS_BENCH_MB: how much data, 512 MB without. Client and server share this machine's cores.
"""

import os
import random
from functools import cache
from typing import Any

from scripts.benches.images import make_dataset
from scripts.benches.methods import REASONS, Figures, download, run
from scripts.benches.store import kept_store
from trainer.storage import open_store

SHAPE = (224, 224, 3)
OURS = ("cold_sequential", "cold_shuffled", "warm", "tfrecord", "download_h5py", "raw_ranges")
_READERS = "scripts.benches.readers"
PEERS = (
    "h5py_s3fs",
    "h5py_s3fs_tuned",
    "h5py_s3fs_background",
    "h5py_s3fs_shuffled",
    "mosaicml",
    "s3torchconnector",
)

__all__ = ["REASONS", "measure"]


def measure() -> dict[str, float | None]:
    """One round: every method once, in random order, each in a process of its own."""
    setup = _setup()
    order = [*OURS, *PEERS]
    random.shuffle(order)
    found = {method: run(method, setup, _READERS if method in OURS else "") for method in order}
    mosaic = found.pop("mosaicml") or {"cold": None, "warm": None}
    found |= {f"mosaicml_{epoch}": figures for epoch, figures in mosaic.items()}
    return {
        "cold_sequential/h5py_s3fs": _faster(found, "cold_sequential", "h5py_s3fs"),
        "cold_sequential/h5py_s3fs_tuned": _faster(found, "cold_sequential", "h5py_s3fs_tuned"),
        "cold_sequential/h5py_s3fs_background": _faster(found, "cold_sequential", "h5py_s3fs_background"),
        "cold_sequential/download_h5py": _faster(found, "cold_sequential", "download_h5py"),
        "cold_sequential/raw_ranges": _faster(found, "cold_sequential", "raw_ranges"),
        "cold_shuffled/h5py_s3fs_shuffled": _faster(found, "cold_shuffled", "h5py_s3fs_shuffled"),
        "cold_shuffled/cold_sequential": _faster(found, "cold_shuffled", "cold_sequential"),
        "warm_cpu/tfrecord_cpu": _cheaper(found, "warm", "tfrecord"),
        "cold/mosaicml": _faster(found, "cold_sequential", "mosaicml_cold"),
        "cold/s3torchconnector": _faster(found, "cold_sequential", "s3torchconnector"),
        "warm/mosaicml": _faster(found, "warm", "mosaicml_warm"),
        **{f"{method} MB/s": _rate(figures) for method, figures in sorted(found.items())},
        **{f"{method} CPU s/GB": _cost(figures) for method, figures in sorted(found.items())},
    }


def _rate(figures: Figures | None) -> float | None:
    return figures["bytes"] / figures["seconds"] / 1e6 if figures else None


def _cost(figures: Figures | None) -> float | None:
    return figures["cpu"] / figures["bytes"] * 1e9 if figures else None


def _faster(found: dict[str, Figures | None], ours: str, other: str) -> float | None:
    mine, theirs = _rate(found[ours]), _rate(found[other])
    return mine / theirs if mine and theirs else None


def _cheaper(found: dict[str, Figures | None], ours: str, other: str) -> float | None:
    mine, theirs = _cost(found[ours]), _cost(found[other])
    return mine / theirs if mine and theirs else None


@cache
def _setup() -> dict[str, Any]:
    """The same images in every form that a method reads, once for all rounds."""
    bucket, folder = kept_store()
    options = make_dataset(folder, bucket, int(os.environ.get("CARS_BENCH_MB", "512")), SHAPE)
    options |= {"records": str(folder / "records"), "remote": f"s3://{bucket}/mds"}
    run("write_tfrecord", options, _READERS)
    mds = folder / "mds"
    if run("write_mds", options | {"out": str(mds), "files": download(options)}) is not None:
        store = open_store(options["remote"])
        for path in mds.iterdir():
            store.put_file(path.name, path)
    os.environ["S3_ENDPOINT_URL"] = options["endpoint"]  # as mosaicml-streaming calls it
    return options
