"""Which bytes hold which rows, so that reading asks HDF5 nothing.

A dataset is a prefix with `dataset.json`, written last, HDF5 shards, and for each split two arrays in
NumPy's own format (no pickle): the table of chunks and the labels.
"""

import hashlib
import io
import json
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.dataset.dataset import ENCODINGS, Dataset, Split
from trainer.dataset.manifest import FORMAT, MANIFEST, NEWEST_VERSION, identity_of, index_beside
from trainer.dataset.shards.ranges import CHUNK, NO_PIECES, PIECE
from trainer.dataset.shards.shard_reader import Shard
from trainer.errors import ConfigError, DataError
from trainer.storage import OnRetry, open_store, split_url
from trainer.storage.base import Store
from trainer.storage.disk_cache import DiskCache

HDF5 = b"\x89HDF\r\n\x1a\n"
"""The first bytes of an HDF5 file, or those behind what the program that wrote it put before them."""
_SIGNATURE_PLACES = (0, 512, 1024, 2048)


def open_dataset(url: str, *, on_retry: OnRetry | None = None, cache: DiskCache | None = None) -> Dataset:
    """Read the index of the dataset at `url`: no shard is touched. With `cache`, rows are read through it.

    `url` may also be that of an HDF5 file, whose index lies beside it.

    Raises DataError where there is none, where it is of a newer version, or is not whole.
    """
    store, manifest = _located(url, on_retry)
    try:
        height, width, channels = manifest["image_shape"]
        classes = tuple(manifest["classes"])
        splits = {
            name: _split(store, name, values, (height, width, channels), len(classes), cache)
            for name, values in manifest["splits"].items()
        }
        made = dict(manifest["made"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(
            f"{store.url}/{MANIFEST} is not whole: {type(error).__name__} {error}",
            "Prepare the dataset again",
        ) from error
    return Dataset(
        url=store.url,
        store=store,
        version=manifest["version"],
        classes=classes,
        image_shape=(height, width, channels),
        splits=splits,
        identity=identity_of(manifest),
        made=made,
    )


def _located(url: str, on_retry: OnRetry | None) -> tuple[Store, dict[str, Any]]:
    """The dataset's store and manifest: at `url`, or beside the HDF5 file there."""
    store = open_store(url, on_retry=on_retry)
    try:
        return store, _checked(store, store.get(MANIFEST))
    except (FileNotFoundError, NotADirectoryError) as error:
        missing = error
    if not holds_hdf5(store.url):
        raise DataError(
            f"there is no dataset at {store.url} ({missing})", f"Make one: trainer prepare IMAGES {store.url}"
        ) from missing
    beside = open_store(index_beside(store.url), on_retry=on_retry)
    try:
        return beside, _checked(beside, beside.get(MANIFEST))
    except FileNotFoundError:
        raise DataError(
            f"{store.url} is an HDF5 file; expected a dataset, the prefix that `trainer prepare` or "
            f"`trainer index` filled, or an index beside the file, {beside.url}",
            f"Index it in place: trainer index {store.url}",
        ) from missing


def _checked(store: Store, data: bytes) -> dict[str, Any]:
    try:
        manifest = json.loads(data)
    except ValueError:
        manifest = None
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise DataError(f"{store.url}/{MANIFEST} is not the index of a dataset", "Prepare the dataset again")
    version = manifest.get("version")
    if not isinstance(version, int):
        raise DataError(f"{store.url}/{MANIFEST} has no version", "Prepare the dataset again")
    if version > NEWEST_VERSION:
        raise DataError(
            f"{store.url} is a dataset of version {version}; this trainer reads versions up to "
            f"{NEWEST_VERSION}",
            "Use the trainer that prepared it, or a newer one",
        )
    if (encoding := manifest.get("encoding")) not in ENCODINGS:
        raise DataError(
            f"{store.url}: expected images encoded as {' or '.join(ENCODINGS)}, received {encoding!r}",
            "Use the trainer that prepared it, or a newer one",
        )
    return manifest


def holds_hdf5(url: str) -> bool:
    """Whether there is one object at `url`, and it has the bytes of HDF5 files."""
    try:
        folder, key = split_url(url)
        store = open_store(folder)
        size = store.stat(key).size
        return any(
            bytes(store.get_range(key, start, start + len(HDF5))) == HDF5
            for start in _SIGNATURE_PLACES
            if start + len(HDF5) <= size
        )
    except (OSError, EOFError, ValueError, ConfigError):
        return False


def _split(
    store: Store,
    name: str,
    values: dict[str, Any],
    shape: tuple[int, int, int],
    classes: int,
    cache: DiskCache | None,
) -> Split:
    chunks = _get_array(store, values["chunks"])
    labels = _get_array(store, values["labels"])
    objects = tuple(Shard.of(shard) for shard in values["objects"])
    split = Split(
        name=name,
        rows=int(values["rows"]),
        labels=labels,
        chunks=chunks,
        objects=objects,
        row_bytes=math.prod(shape),
        mean=tuple(values["mean"]),
        std=tuple(values["std"]),
        store=store,
        cache=cache,
        pieces=_get_array(store, values["pieces"]) if "pieces" in values else NO_PIECES,
    )
    if len(labels) and (highest := int(labels.max())) >= classes:
        row = int(np.argmax(labels))
        raise DataError(
            f"{store.url}: row {row} of {name} has label {highest}; with {classes} classes the highest "
            f"is {classes - 1}",
            "Correct the labels and prepare the dataset again",
        )
    if not _fits(split, shape):
        raise ValueError(f"the index of {name} does not fit its shards")
    return split


def _fits(split: Split, shape: tuple[int, int, int]) -> bool:
    """Whether the chunks hold each row once, within their objects."""
    chunks = split.chunks
    if chunks.dtype != CHUNK or split.labels.shape != (split.rows,) or not len(chunks):
        return False
    counts = chunks["rows"].astype(np.int64)
    sizes = np.array([shard.size for shard in split.objects], np.uint64)
    least = np.array([shard.layout.least_bytes(shape) for shard in split.objects], np.int64)
    return bool(
        counts.sum() == split.rows
        and (chunks["first"] == (np.cumsum(counts) - counts).astype(np.uint64)).all()
        and (chunks["object"] < len(sizes)).all()
        and (counts * least[chunks["object"]] <= chunks["length"]).all()
        and (chunks["offset"] + chunks["length"] <= sizes[chunks["object"]]).all()
        and split.pieces.dtype == PIECE
        and (np.diff(split.pieces["chunk"].astype(np.int64)) >= 0).all()
        and (not split.jpeg or _holds_rows(chunks, split.pieces))
    )


def _holds_rows(chunks: NDArray[np.void], pieces: NDArray[np.void]) -> bool:
    """Whether each row of each chunk is a piece of it."""
    numbers = np.repeat(np.arange(len(chunks)), chunks["rows"])
    if len(pieces) != len(numbers) or (pieces["chunk"] != numbers).any():
        return False
    stops = pieces["offset"].astype(np.int64) + pieces["length"]
    return bool((stops <= chunks["length"][numbers]).all())


def _get_array(store: Store, entry: dict[str, Any]) -> NDArray[Any]:
    try:
        data = store.get(entry["key"])
    except FileNotFoundError as error:
        raise DataError(
            f"{store.url}/{entry['key']} is missing from the dataset", "Prepare the dataset again"
        ) from error
    if hashlib.sha256(data).hexdigest() != entry["sha256"]:
        raise DataError(
            f"{store.url}/{entry['key']} is not what {MANIFEST} says: its checksum differs",
            "Prepare the dataset again",
        )
    array: NDArray[Any] = np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
    return array
