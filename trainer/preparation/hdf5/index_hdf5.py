"""`trainer index`: somebody's HDF5 files -> a dataset that reads them where they lie."""

import hashlib
import json
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer import __version__, interrupts
from trainer.dataset.dataset import Split
from trainer.dataset.manifest import MANIFEST, SPLITS, keys_in, smallest_unsigned, write_manifest, write_split
from trainer.dataset.order import SMALL_BYTES
from trainer.dataset.pixel_histogram import PixelHistogram
from trainer.errors import ConfigError, DataError
from trainer.preparation.hdf5.parts import DatasetNames, FileSplit, Hdf5Files, find_parts, find_source
from trainer.preparation.hdf5.process import NotInPlace
from trainer.preparation.hdf5.read_labels import number_classes
from trainer.storage import Store, open_store, split_url
from trainer.storage.base import ObjectChanged
from trainer.urls import beside

_BLOCK = 8 << 20
_LARGE_SPLIT_CHUNK_BYTES = 64 << 20
_THREADS = 4
_ELSEWHERE = "Choose another place for the index"

ProgressCallback = Callable[[int, int], None]
"""Called with the MiB that were read and the MiB in all."""


@dataclass(frozen=True)
class Indexed:
    """The dataset that was made.

    Attributes:
        url: of the index.
        files: URLs of the HDF5 files.
        classes: their names, in the order of the labels.
        image_shape: (H, W, C).
        rows: split -> images.
        identity: the SHA-256 of the index.
        assumed: sentences about what the files do not say.
    """

    url: str
    files: tuple[str, ...]
    classes: tuple[str, ...]
    image_shape: tuple[int, int, int]
    rows: dict[str, int]
    identity: str
    assumed: tuple[str, ...]


def index_hdf5(
    url: str,
    target: str | None = None,
    names: DatasetNames | None = None,
    *,
    progress: ProgressCallback | None = None,
) -> Indexed:
    """Write an index at `target` of the HDF5 file at `url`, or of all below it, which stay where they are.

    Without `target` it is written beside a file, as `NAME.index`, or into the folder of several. `url` may
    also be that of such an index: then it is made again, by the same names.

    Every byte is read: for checksums, and every image for mean and deviation. An index of the same files at
    `target` is replaced at once, when all is done.

    Raises DataError for what cannot be read as it is, ConfigError where another dataset is at `target`.
    """
    names = names or DatasetNames()
    copied_to = target
    if target is None and (there := _index_at(url)):
        target, url = url, there["source"]
        names = DatasetNames.of(there["names"]) if names == DatasetNames() else names
    source = find_source(url)
    copied_to = copied_to or beside(source.target.removesuffix(".index"), "dataset")
    convert = partial(names.prepare_command, url, copied_to)
    store = open_store(target or source.target)
    before = _replaced(store, source.url)
    parts = _in_place(source, names, convert)
    if all(part.split != "train" for part in parts):
        raise DataError(
            f"{url}: found no images to train on, only for {', '.join({part.split for part in parts})}",
            "Name them with --images and --labels",
        )
    found, shape = number_classes(parts), parts[0].shape
    parts = [replace(part, labels=labels) for part, labels in zip(parts, found.labels, strict=True)]
    classes = found.names
    joined = {
        name: _joined(name, own, store, len(classes), convert())
        for name in SPLITS
        if (own := [part for part in parts if part.split == name])
    }
    digests = _digests(parts, progress)
    splits = {name: _measured(_pinned(split, digests), shape) for name, split in joined.items()}
    assumed = tuple(dict.fromkeys([*(part.assumed for part in parts if part.assumed), *found.assumed]))
    files = tuple(dict.fromkeys(part.file["url"] for part in parts))
    made = {
        "source": source.url,
        "trainer": __version__,
        "datasets": [part.where for part in parts],
        "assumed": list(assumed),
        "names": asdict(names),
    }
    start = uuid.uuid4().hex[:8]
    with interrupts.deferred():
        written = {name: write_split(store, split, start) for name, split in splits.items()}
        try:
            identity = write_manifest(store, classes, shape, written, made, if_match=before.etag)
        except (FileExistsError, ObjectChanged) as error:
            raise ConfigError(
                f"{store.url}: another dataset was written there in the meantime", _ELSEWHERE
            ) from error
        for key in before.keys:
            store.delete(key)
    rows = {name: split.rows for name, split in splits.items()}
    return Indexed(store.url, files, classes, shape, rows, identity, assumed)


def _in_place(source: Hdf5Files, names: DatasetNames, convert: Callable[..., str]) -> list[FileSplit]:
    try:
        parts = find_parts(source, names)
    except NotInPlace as error:
        raise DataError(error.problem, f"Convert it: {convert()}") from None
    height, width, _ = parts[0].shape
    for part in parts:
        if part.shape != parts[0].shape:
            size = convert("--image-size", f"{height}x{width}")
            raise DataError(
                f"{part.where}: images of {part.shape}, and of {parts[0].shape} in {parts[0].where}",
                f"Index them apart, or make them one size: {size}",
            )
    return parts


@dataclass(frozen=True)
class _PreviousIndex:
    """The index that was there: its etag and its arrays."""

    etag: str | None = None
    keys: tuple[str, ...] = ()


def _replaced(store: Store, url: str) -> _PreviousIndex:
    """Only an index of the same source may be replaced."""
    try:
        etag = store.stat(MANIFEST).etag
        manifest = store.get(MANIFEST)
    except FileNotFoundError:
        return _PreviousIndex()
    if (made := _made_of(manifest)) is None or made["source"] != url:
        raise ConfigError(f"{store.url}: there is another dataset already", _ELSEWHERE)
    return _PreviousIndex(etag, tuple(keys_in(manifest)))


def is_prepared(url: str) -> bool:
    """Whether a dataset of `trainer prepare` is at `url`."""
    manifest = _manifest(url)
    return manifest is not None and _made_of(manifest) is None


def _index_at(url: str) -> dict[str, Any] | None:
    manifest = _manifest(url)
    return None if manifest is None else _made_of(manifest)


def _manifest(url: str) -> bytes | None:
    try:
        return bytes(open_store(url).get(MANIFEST))
    except (FileNotFoundError, NotADirectoryError):
        return None


def _made_of(manifest: bytes) -> dict[str, Any] | None:
    """What an index was made of; None for a dataset of `trainer prepare`."""
    try:
        made = json.loads(manifest)["made"]
        return dict(made) if "names" in made else None
    except (ValueError, KeyError, TypeError):
        return None


def _digests(parts: Sequence[FileSplit], progress: ProgressCallback | None) -> dict[str, str]:
    """Key -> SHA-256 of each file."""
    shards = {part.shard.key: part.shard for part in parts}
    total, done = sum(shard.size for shard in shards.values()), 0
    found: dict[str, str] = {}
    for shard in shards.values():
        folder, key = split_url(shard.key)
        store, digest = open_store(folder), hashlib.sha256()
        for start in range(0, shard.size, _BLOCK):
            stop = min(start + _BLOCK, shard.size)
            digest.update(store.get_range(key, start, stop, etag=shard.etag))
            done += stop - start
            if progress:
                progress(done >> 20, total >> 20)
        found[shard.key] = digest.hexdigest()
    return found


def _joined(name: str, parts: Sequence[FileSplit], store: Store, classes: int, convert: str) -> Split:
    """The rows of several files, one after the other; their checksums are not known yet."""
    rows, chunk = 0, 0
    chunks, pieces = [], []
    for number, part in enumerate(parts):
        own, own_pieces = part.chunks.copy(), part.pieces.copy()
        own["object"] = number
        own["first"] += rows
        own_pieces["chunk"] += chunk
        rows, chunk = rows + part.shard.rows, chunk + len(own)
        chunks.append(own)
        pieces.append(own_pieces)
    split = Split(
        name=name,
        rows=rows,
        labels=np.concatenate([part.labels for part in parts]).astype(smallest_unsigned(classes)),
        chunks=np.concatenate(chunks),
        objects=tuple(part.shard for part in parts),
        row_bytes=int(np.prod(parts[0].shape)),
        mean=(),
        std=(),
        store=store,
        pieces=np.concatenate(pieces),
    )
    largest = int(split.chunks["rows"].max()) * split.row_bytes
    if rows * split.row_bytes > SMALL_BYTES and largest > _LARGE_SPLIT_CHUNK_BYTES and not split.plain:
        raise DataError(
            f"{parts[0].where}: {largest:,} bytes must be read for each image; expected at most "
            f"{_LARGE_SPLIT_CHUNK_BYTES:,}, for images of {SMALL_BYTES:,} bytes in all or more",
            f"Convert it: {convert}",
        )
    return split


def _pinned(split: Split, digests: dict[str, str]) -> Split:
    return replace(split, objects=tuple(replace(own, sha256=digests[own.key]) for own in split.objects))


def _measured(split: Split, shape: tuple[int, int, int]) -> Split:
    """The split with mean and deviation of its images, each of which is read and so checked."""

    def count(number: int) -> NDArray[np.int64]:
        return PixelHistogram.of(split.decode(number, shape)).counts

    counts = np.zeros((3, 256), np.int64)
    with ThreadPoolExecutor(_THREADS) as pool:
        for numbers in _groups(len(split.chunks), _THREADS):
            counts += sum(pool.map(count, numbers))
    mean, std = PixelHistogram(counts).moments()
    return replace(split, mean=mean, std=std)


def _groups(count: int, size: int) -> Iterator[range]:
    for first in range(0, count, size):
        yield range(first, min(first + size, count))
