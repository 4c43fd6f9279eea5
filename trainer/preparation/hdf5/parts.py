"""The splits that each of some HDF5 files holds."""

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trainer.dataset.shards.row_layout import RowLayout
from trainer.dataset.shards.shard_reader import Shard
from trainer.errors import ConfigError, DataError
from trainer.preparation.hdf5.names import split_of_path
from trainer.preparation.hdf5.process import ask
from trainer.storage import join, open_store, split_url

SUFFIXES = (".h5", ".hdf5", ".he5", ".hdf", ".mat")


@dataclass(frozen=True)
class DatasetNames:
    """What the datasets are called, where that is not found out; `labels` may be FILE:NAME. `shape` of an
    image, (H, W, C), where rows are flat."""

    images: str | None = None
    labels: str | None = None
    classes: str | None = None
    shape: tuple[int, int, int] | None = None


@dataclass(frozen=True)
class FileSplit:
    """One split's rows in one file, the tables as in dataset.shards.ranges; without a checksum yet."""

    split: str
    shard: Shard
    labels: NDArray[np.int64]
    chunks: NDArray[np.void]
    pieces: NDArray[np.void]
    shape: tuple[int, int, int]
    classes: tuple[str, ...] | None
    assumed: str
    where: str


class Hdf5Files(NamedTuple):
    """One HDF5 file, or the files below a prefix, by URL; `target` is where their index lies by default."""

    url: str
    files: tuple[str, ...]
    target: str


def find_source(url: str) -> Hdf5Files:
    """The HDF5 file at `url`, or those below it. Raises DataError for none."""
    url = open_store(url).url
    with suppress(FileNotFoundError, IsADirectoryError, ConfigError):
        file: str = _stat(url)["url"]
        folder, key = split_url(file)
        return Hdf5Files(file, (file,), join(folder, PurePosixPath(key).stem + ".index"))
    store = open_store(url)
    found = sorted(info.key for info in store.list() if info.key.lower().endswith(SUFFIXES))
    if not found:
        raise DataError(
            f"{store.url}: expected an HDF5 file, or several below it ({', '.join(SUFFIXES)}), found none",
            "Correct the URL",
        )
    return Hdf5Files(store.url, tuple(join(store.url, key) for key in found), store.url)


def find_parts(source: Hdf5Files, names: DatasetNames) -> list[FileSplit]:
    """What the files hold. Raises DataError for what cannot be read as it is."""
    parts = [
        part
        for url in source.files
        for part in _parts(url, names, split_of_path(url.removeprefix(source.url)))
    ]
    for part in parts:
        if part.shape != parts[0].shape:
            raise DataError(
                f"{part.where}: images of {part.shape}, and of {parts[0].shape} in {parts[0].where}",
                "Index them apart",
            )
    return parts


def _parts(url: str, names: DatasetNames, default: str) -> list[FileSplit]:
    file, labels_file, labels = _stat(url), None, names.labels
    other, _, name = (labels or "").rpartition(":")
    if other and not name.startswith("//"):
        labels = name
        whole = "://" in other or os.path.isabs(other)
        try:
            labels_file = _stat(other if whole else join(split_url(url)[0], other))
        except FileNotFoundError as error:
            raise DataError(str(error), "Correct --labels") from error
    question = {
        "file": file,
        "labels_file": labels_file,
        "images": names.images,
        "labels": labels,
        "classes": names.classes,
        "shape": names.shape,
    }
    with TemporaryDirectory(prefix="trainer-index-") as folder:
        answer = ask(url, question, Path(folder))
        classes = tuple(answer["classes"]) if answer["classes"] else None
        return [
            FileSplit(
                split=found["split"] or default,
                shard=Shard(
                    key=file["url"],
                    etag=file["etag"],
                    size=file["size"],
                    sha256="",
                    rows=found["rows"],
                    names_offset=0,
                    names_width=0,
                    layout=RowLayout.of(found["layout"]),
                ),
                **{name: _array(folder, number, name) for name in ("labels", "chunks", "pieces")},
                shape=tuple(found["shape"]),
                classes=classes,
                assumed=found["assumed"],
                where=f"{url}: {found['images']} and {found['labels']}",
            )
            for number, found in enumerate(answer["splits"])
        ]


def _array(folder: str, number: int, name: str) -> NDArray[Any]:
    array: NDArray[Any] = np.load(Path(folder, f"{number}.{name}.npy"), allow_pickle=False)
    return array


def _stat(url: str) -> dict[str, Any]:
    folder, key = split_url(url)
    store = open_store(folder)
    info = store.stat(key)
    return {"url": join(store.url, key), "etag": info.etag, "size": info.size}
