"""`trainer index`: somebody's HDF5 files -> a dataset that reads them where they lie."""

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer import __version__, interrupts
from trainer.dataset import index
from trainer.dataset.order import SMALL_BYTES
from trainer.dataset.preparation.shards import Pixels
from trainer.dataset.ranges import CHUNK
from trainer.dataset.reader import Reader
from trainer.dataset.reading.layout import Layout
from trainer.dataset.reading.shard_reader import Shard
from trainer.errors import ConfigError, DataError
from trainer.storage import Store, join, open_store, split_url

SUFFIXES = (".h5", ".hdf5", ".he5", ".mat")
TIMEOUT = 900.0
_BLOCK = 8 << 20
_ORDER = ("train", "validation", "test")

ProgressCallback = Callable[[int, int], None]
"""Called with the bytes that were read and the bytes in all."""


@dataclass(frozen=True)
class Names:
    """What the datasets are called, where that is not found out. `labels` may be FILE.h5:NAME."""

    images: str | None = None
    labels: str | None = None
    classes: str | None = None
    shape: tuple[int, int, int] | None = None


@dataclass(frozen=True)
class Indexed:
    """The dataset that was made: rows of each split, and what was taken for granted."""

    url: str
    files: tuple[str, ...]
    classes: tuple[str, ...]
    image_shape: tuple[int, int, int]
    rows: dict[str, int]
    identity: str
    assumed: tuple[str, ...]


@dataclass(frozen=True)
class _Part:
    """One split's rows in one file."""

    split: str
    shard: Shard
    labels: NDArray[np.int64]
    chunks: NDArray[np.void]
    layout: Layout
    shape: tuple[int, int, int]
    classes: tuple[str, ...] | None
    assumed: str
    names: str


def index_hdf5(
    url: str, target: str, names: Names | None = None, *, progress: ProgressCallback | None = None
) -> Indexed:
    """An index at `target` of the HDF5 file at `url`, or of all below it, which stay where they are.

    Every byte is read once, for checksums, the range of values, mean and deviation.

    Raises DataError for what cannot be read as it is, ConfigError where another dataset is at `target`.
    """
    store = open_store(target)
    _check_target(store)
    files = _files(url)
    parts = [part for file in files for part in _parts(file, names or Names())]
    _check_alike(parts)
    classes = _classes(parts)
    total = sum(part.shard.size for part in {part.shard.key: part for part in parts}.values())
    digests = _digests(parts, total, progress)
    shape, splits = parts[0].shape, {}
    for name in _ORDER:
        own = [part for part in parts if part.split == name]
        if own:
            splits[name] = _measured(_joined(name, own, digests, store, len(classes)), classes, shape)
    if "train" not in splits:
        raise DataError(
            f"{url}: found no images to train on, only for {', '.join(splits)}", "Name them with --images"
        )
    assumed = tuple(dict.fromkeys(part.assumed for part in parts if part.assumed))
    made = {
        "source": url,
        "trainer": __version__,
        "datasets": [part.names for part in parts],
        "assumed": list(assumed),
    }
    with interrupts.deferred():
        written = {name: index.write_split(store, split) for name, split in splits.items()}
        identity = index.write_manifest(store, classes, shape, written, made)
    return Indexed(
        store.url,
        tuple(dict.fromkeys(part.shard.key for part in parts)),
        classes,
        shape,
        {name: split.rows for name, split in splits.items()},
        identity,
        assumed,
    )


def _check_target(store: Store) -> None:
    try:
        store.get(index.MANIFEST)
    except FileNotFoundError:
        return
    raise ConfigError(f"{store.url}: there is a dataset already", "Choose another place for the index")


def _files(url: str) -> list[str]:
    """The URLs of the HDF5 files at or below `url`, by name."""
    folder, key = split_url(url)
    try:
        store = open_store(folder)
        store.stat(key)
        return [join(store.url, key)]
    except (FileNotFoundError, IsADirectoryError):
        pass
    store = open_store(url)
    found = sorted(info.key for info in store.list() if info.key.lower().endswith(SUFFIXES))
    if not found:
        raise DataError(
            f"{store.url}: expected an HDF5 file or several ({', '.join(SUFFIXES)}), found none",
            "Name a file",
        )
    return [join(store.url, key) for key in found]


def _parts(url: str, names: Names) -> list[_Part]:
    info = _ask_store(url)
    labels = names.labels
    question: dict[str, Any] = {
        "url": url,
        "etag": info[0],
        "size": info[1],
        "images": names.images,
        "classes": names.classes,
        "shape": names.shape,
    }
    if labels and ":" in labels.rpartition("/")[2]:
        other, _, labels = labels.rpartition(":")
        other = other if "://" in other or os.path.isabs(other) else join(split_url(url)[0], other)
        etag, size = _ask_store(other)
        question["labels_file"] = {"url": other, "etag": etag, "size": size}
    question["labels"] = labels
    with TemporaryDirectory(prefix="trainer-") as folder:
        said = _ask_child(url, question, Path(folder))
        classes = tuple(said["classes"]) if said["classes"] else None
        return [
            _Part(
                split=found["split"],
                shard=Shard(url, info[0], info[1], "", found["rows"], 0, 0),
                labels=np.load(Path(folder, f"{number}.labels.npy"), allow_pickle=False),
                chunks=np.load(Path(folder, f"{number}.chunks.npy"), allow_pickle=False),
                layout=Layout(**found["layout"] | {"filters": tuple(found["layout"]["filters"])}),
                shape=tuple(found["shape"]),
                classes=classes,
                assumed=f"{url}: {found['assumed']}" if found["assumed"] else "",
                names=f"{url}: {found['images']}, {found['labels']}",
            )
            for number, found in enumerate(said["splits"])
        ]


def _ask_store(url: str) -> tuple[str, int]:
    folder, key = split_url(url)
    try:
        info = open_store(folder).stat(key)
    except FileNotFoundError as error:
        raise DataError(str(error), "Correct the URL") from error
    return info.etag, info.size


def _ask_child(url: str, question: dict[str, Any], folder: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "trainer.dataset.foreign.child", str(folder)]
    remedy = "Copy the file again, or make a dataset of its images"
    try:
        done = subprocess.run(
            command, input=json.dumps(question).encode(), capture_output=True, timeout=TIMEOUT
        )
    except subprocess.TimeoutExpired:
        raise DataError(f"{url}: HDF5 does not come to an end with it in {TIMEOUT:.0f} s", remedy) from None
    try:
        said: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        why = signal.Signals(-done.returncode).name if done.returncode < 0 else f"code {done.returncode}"
        raise DataError(f"{url}: a damaged HDF5 file (its reader ended with {why})", remedy) from None
    if "problem" in said:
        raise DataError(f"{url}: {said['problem']}", said["remedy"])
    return said


def _check_alike(parts: Sequence[_Part]) -> None:
    first = parts[0]
    for part in parts:
        if part.shape != first.shape:
            raise DataError(
                f"{part.names}: images of {part.shape}, and of {first.shape} in {first.names}",
                "Index them apart",
            )
        whole = part.shard.rows * int(np.prod(part.shape))
        if part.layout.last and whole > SMALL_BYTES:
            raise DataError(
                f"{part.names}: its rows come last, so that none can be read without all others, and take "
                f"{whole:,} bytes; expected at most {SMALL_BYTES:,}",
                "Write them first, or make a dataset of the images: trainer prepare",
            )


def _classes(parts: Sequence[_Part]) -> tuple[str, ...]:
    named = [part.classes for part in parts if part.classes]
    most = max(int(part.labels.max(initial=0)) for part in parts)
    if not named:
        return tuple(str(number) for number in range(most + 1))
    if any(classes != named[0] for classes in named):
        raise DataError("the files name different classes", "Index them apart")
    if most >= len(named[0]):
        part = next(part for part in parts if part.labels.max(initial=0) == most)
        raise DataError(
            f"{part.names}: row {int(part.labels.argmax())} has label {most}; with {len(named[0])} classes the "
            f"highest is {len(named[0]) - 1}",
            "Correct the labels, or name other classes",
        )
    return named[0]


def _digests(parts: Sequence[_Part], total: int, progress: ProgressCallback | None) -> dict[str, str]:
    found: dict[str, str] = {}
    done = 0
    for shard in (part.shard for part in parts):
        if shard.key in found:
            continue
        folder, key = split_url(shard.key)
        store, digest = open_store(folder), hashlib.sha256()
        for start in range(0, shard.size, _BLOCK):
            stop = min(start + _BLOCK, shard.size)
            digest.update(store.get_range(key, start, stop, etag=shard.etag))
            done += stop - start
            if progress:
                progress(done, total)
        found[shard.key] = digest.hexdigest()
    return found


def _joined(
    name: str, parts: Sequence[_Part], digests: dict[str, str], store: Store, classes: int
) -> index.Split:
    """The rows of several files, one after the other."""
    layouts = {part.layout for part in parts}
    if len(layouts) > 1:
        raise DataError(f"the files of {name} store their images in different ways", "Index them apart")
    tables, first = [], 0
    for number, part in enumerate(parts):
        table = part.chunks.astype(CHUNK)
        table["object"] = number
        table["first"] += first
        first += part.shard.rows
        tables.append(table)
    return index.Split(
        name=name,
        rows=first,
        labels=np.concatenate([part.labels for part in parts]).astype(index.smallest_unsigned(classes)),
        chunks=np.concatenate(tables),
        objects=tuple(replace(part.shard, sha256=digests[part.shard.key]) for part in parts),
        row_bytes=int(np.prod(parts[0].shape)),
        mean=(),
        std=(),
        store=store,
        layout=parts[0].layout,
    )


def _measured(split: index.Split, classes: tuple[str, ...], shape: tuple[int, int, int]) -> index.Split:
    """With mean and deviation of its images, each of which is read and so checked."""
    counts = np.zeros((3, 256), np.int64)
    dataset = index.Dataset("", split.store, index.VERSION, classes, shape, {split.name: split}, "", {})
    for batch in Reader(dataset, split, budget_bytes=1).batches_of(range(split.rows), 64):
        counts += Pixels.of(batch.images).counts
    mean, std = Pixels(counts).moments()
    return replace(split, mean=mean, std=std)
