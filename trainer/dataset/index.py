"""Which bytes hold which rows, so that reading asks HDF5 nothing.

A dataset is a prefix with `dataset.json`, written last, HDF5 shards, and for each split two arrays in
NumPy's own format (no pickle): the table of chunks and the labels.
"""

import hashlib
import io
import json
import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from trainer.dataset.ranges import CHUNK, NO_PIECES, PIECE, RANGE_BYTES, blocks
from trainer.dataset.reading.shard_reader import Shard, ShardReader
from trainer.errors import ConfigError, DataError
from trainer.storage import OnRetry, open_store, split_url
from trainer.storage.base import ObjectChanged, Store
from trainer.storage.disk_cache import DiskCache

MANIFEST = "dataset.json"
ARRAYS = "index/"
VERSION, _FOREIGN = 1, 2
"""2: rows that are stored in another way than ours, or in objects elsewhere."""
_ARRAYS = ("chunks", "labels", "pieces")
FORMAT = "cars-trainer dataset"
Encoding = Literal["raw", "jpeg"]
ENCODINGS: tuple[Encoding, ...] = get_args(Encoding)
HDF5 = b"\x89HDF\r\n\x1a\n"
"""The first bytes of an HDF5 file."""


@dataclass(frozen=True)
class Split:
    """The rows of one split.

    `labels` (rows,) of the smallest unsigned dtype; `chunks` (chunks,) of dtype `ranges.CHUNK`, by row;
    `pieces` of dtype `ranges.PIECE`, by chunk, of those that have some, of JPEG rows one each; `row_bytes` of
    one image's pixels; `mean` and
    `std` of its pixels for each channel, in 0..255.
    """

    name: str
    rows: int
    labels: NDArray[np.unsignedinteger]
    chunks: NDArray[np.void]
    objects: tuple[Shard, ...]
    row_bytes: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    store: Store
    cache: DiskCache | None = None
    pieces: NDArray[np.void] = field(default_factory=NO_PIECES.copy)

    @property
    def plain(self) -> bool:
        """Whether its bytes are those of images, row after row, in each of its objects."""
        return all(shard.layout.plain for shard in self.objects)

    @property
    def jpeg(self) -> bool:
        """Whether its rows are JPEG files."""
        return all(shard.layout.jpeg for shard in self.objects)

    @property
    def blocks(self) -> NDArray[np.int64]:
        """The rows of each of its parts that training takes in random order: chunks that are worth a request
        together, or that are decoded one by one."""
        if not self.plain:
            return self.chunks["rows"].astype(np.int64)
        return blocks(self.chunks, RANGE_BYTES)

    def read(self, number: int, start: int, stop: int, into: memoryview | None = None) -> memoryview:
        """Bytes [start, stop) of object `number`, of just the object that was indexed, else DataError."""
        return self._shards.read(number, start, stop, into)

    @cached_property
    def _shards(self) -> ShardReader:
        return ShardReader(self.store, self.objects, self.chunks, self.cache)

    def decode(self, chunk: int, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
        """Every image of a chunk, uint8 (n, H, W, C) of `shape`. Raises DataError for a damaged one."""
        number, offset, length, start, rows = self.chunks[chunk].item()
        first, last = np.searchsorted(self.pieces["chunk"], [chunk, chunk + 1]).tolist()
        pieces = [(start, start + size) for _, start, size in self.pieces[first:last].tolist()]
        shard = self.objects[number]
        data = self.read(number, offset, offset + length)
        images: NDArray[np.uint8] = shard.layout.decode(data, pieces, start, rows, shape, shard.key)
        return images

    def names(self, rows: NDArray[np.int64]) -> list[str]:
        """The names of `rows`, int64 (n,); read from each shard at once, from the first to the last."""
        rows = np.asarray(rows, np.int64)
        counts = np.array([shard.rows for shard in self.objects], np.int64)
        firsts = np.cumsum(counts) - counts
        shards = np.searchsorted(firsts, rows, side="right") - 1
        names = [""] * len(rows)
        for number in np.unique(shards).tolist():
            shard = self.objects[number]
            places = np.flatnonzero(shards == number)
            local = rows[places] - firsts[number]
            first, last = int(local.min()), int(local.max())
            if not shard.names_width:
                for place, row in zip(places.tolist(), local.tolist(), strict=True):
                    names[place] = f"{shard.key}:{row}"
                continue
            start = shard.names_offset + first * shard.names_width
            stop = shard.names_offset + (last + 1) * shard.names_width
            data = bytes(self.read(number, start, stop))
            for place, row in zip(places.tolist(), (local - first).tolist(), strict=True):
                name = data[row * shard.names_width : (row + 1) * shard.names_width]
                names[place] = name.rstrip(b"\0").decode(errors="surrogateescape")
        return names


@dataclass(frozen=True)
class Dataset:
    """An opened dataset. `identity` is a SHA-256 over what defines the data: two copies have the same."""

    url: str
    store: Store
    version: int
    classes: tuple[str, ...]
    image_shape: tuple[int, int, int]
    splits: dict[str, Split]
    identity: str
    made: dict[str, Any]

    @property
    def encoding(self) -> Encoding:
        """What its rows are: pixels, or JPEG files."""
        return "jpeg" if any(split.jpeg for split in self.splits.values()) else "raw"

    def split(self, name: str) -> Split:
        """Raises DataError for a split that the dataset does not have."""
        if name not in self.splits:
            raise DataError(
                f"{self.url}: expected a split {name!r}, found {', '.join(self.splits)}",
                "Prepare the dataset with that split",
            )
        return self.splits[name]


def open_dataset(url: str, *, on_retry: OnRetry | None = None, cache: DiskCache | None = None) -> Dataset:
    """Read the index of the dataset at `url`: no shard is touched. With `cache`, rows are read through it.

    Raises DataError where there is none, where it is of a newer version, or is not whole.
    """
    store = open_store(url, on_retry=on_retry)
    manifest = _manifest(store)
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
        identity=_identity(manifest),
        made=made,
    )


def array_keys(name: str, start: str = "") -> tuple[str, str, str]:
    """Where a split's chunks, labels and pieces are; `start` names who wrote them."""
    stem = f"{ARRAYS}{name}-{start}" if start else f"{ARRAYS}{name}"
    return f"{stem}.chunks.npy", f"{stem}.labels.npy", f"{stem}.pieces.npy"


def keys_in(manifest: bytes) -> list[str]:
    """Every object that a manifest names, as far as it can be read."""
    try:
        return keys_of(json.loads(manifest)["splits"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return []


def keys_of(splits: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Every object that a manifest's splits name."""
    return [
        entry["key"]
        for split in splits.values()
        for entry in (*split["objects"], *(split[name] for name in _ARRAYS if name in split))
        if "://" not in entry["key"]
    ]


def write_split(store: Store, split: Split, start: str = "") -> dict[str, Any]:
    """Put a split's arrays; returns its part of the manifest."""
    chunks, labels, pieces = array_keys(split.name, start)
    return {
        "rows": split.rows,
        "rows_per_class": np.bincount(split.labels).tolist(),
        "mean": list(split.mean),
        "std": list(split.std),
        "objects": [shard.document() for shard in split.objects],
        "chunks": _put_array(store, chunks, split.chunks),
        "labels": _put_array(store, labels, split.labels),
        **({"pieces": _put_array(store, pieces, split.pieces)} if len(split.pieces) else {}),
    }


def write_manifest(
    store: Store,
    classes: tuple[str, ...],
    image_shape: tuple[int, int, int],
    splits: dict[str, dict[str, Any]],
    made: dict[str, Any],
    *,
    if_match: str | None = None,
) -> str:
    """Commit a dataset: until this is put it is not there. Returns its identity.

    With `if_match` it replaces the one whose manifest has that etag. Raises FileExistsError where there is
    one, ObjectChanged where that one is not there any more."""
    manifest = {
        "format": FORMAT,
        "version": _FOREIGN if any(map(_is_foreign, splits.values())) else VERSION,
        "classes": list(classes),
        "image_shape": list(image_shape),
        "encoding": "jpeg" if any(map(_is_jpeg, splits.values())) else "raw",
        "splits": splits,
        "made": made,
    }
    data = json.dumps(manifest, indent=1).encode()
    try:
        store.put(MANIFEST, data, if_absent=if_match is None, if_match=if_match)
    except (FileExistsError, ObjectChanged):
        # Its keys name their writer: if it is there, only the answer to an earlier try was lost.
        with suppress(FileNotFoundError):
            if store.get(MANIFEST) == data:
                return _identity(manifest)
        raise
    return _identity(manifest)


def _is_foreign(split: Mapping[str, Any]) -> bool:
    return any(Shard.of(entry).foreign for entry in split["objects"])


def _is_jpeg(split: Mapping[str, Any]) -> bool:
    return any(Shard.of(entry).layout.jpeg for entry in split["objects"])


def smallest_unsigned(classes: int) -> np.dtype[np.unsignedinteger]:
    """The dtype of the labels 0 … classes - 1."""
    return np.min_scalar_type(max(0, classes - 1))


def _manifest(store: Store) -> dict[str, Any]:
    try:
        data = store.get(MANIFEST)
    except FileNotFoundError as error:
        if _is_hdf5(store.url):
            raise DataError(
                f"{store.url} is an HDF5 file; expected a dataset, the prefix that `trainer prepare` or "
                "`trainer index` filled",
                f"Index it where it lies: trainer index {store.url}",
            ) from error
        raise DataError(
            f"There is no dataset at {store.url} ({error})", f"Make one: trainer prepare IMAGES {store.url}"
        ) from error
    try:
        manifest = json.loads(data)
    except ValueError:
        manifest = None
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise DataError(f"{store.url}/{MANIFEST} is not the index of a dataset", "Prepare the dataset again")
    version = manifest.get("version")
    if not isinstance(version, int):
        raise DataError(f"{store.url}/{MANIFEST} has no version", "Prepare the dataset again")
    if version > _FOREIGN:
        raise DataError(
            f"{store.url} is a dataset of version {version}; this trainer reads versions up to {_FOREIGN}",
            "Use the trainer that prepared it, or a newer one",
        )
    if (encoding := manifest.get("encoding")) not in ENCODINGS:
        raise DataError(
            f"{store.url}: expected images encoded as {' or '.join(ENCODINGS)}, received {encoding!r}",
            "Use the trainer that prepared it, or a newer one",
        )
    return manifest


def _is_hdf5(url: str) -> bool:
    """Whether there is one object at `url`, and it begins as HDF5 files do."""
    try:
        folder, key = split_url(url)
        return bytes(open_store(folder).get_range(key, 0, len(HDF5))) == HDF5
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


def _put_array(store: Store, key: str, array: NDArray[Any]) -> dict[str, Any]:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    data = buffer.getvalue()
    store.put(key, data)
    return {"key": key, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}


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


def _identity(manifest: dict[str, Any]) -> str:
    """Of classes, shape, encoding, and every shard's and array's content; not of where or when."""
    content = {
        "classes": manifest["classes"],
        "image_shape": manifest["image_shape"],
        "encoding": manifest["encoding"],
        "splits": {
            name: [values["chunks"]["sha256"], values["labels"]["sha256"]]
            + [shard["sha256"] for shard in values["objects"]]
            + [shard["layout"] for shard in values["objects"] if "layout" in shard]
            + ([values["pieces"]["sha256"]] if "pieces" in values else [])
            for name, values in sorted(manifest["splits"].items())
        },
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
