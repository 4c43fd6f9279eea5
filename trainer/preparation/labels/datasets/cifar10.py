"""CIFAR-10's own batch files, of its Python version and of its binary version.

https://www.cs.toronto.edu/~kriz/cifar.html describes both: 3072 values an image, the channels one by one.
"""

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.errors import DataError
from trainer.images.files import natural
from trainer.preparation.labels.file_listing import Listing
from trainer.preparation.labels.formats.inert_pickle import load_inert
from trainer.preparation.labels.formats.text import lines_of
from trainer.preparation.labels.source import LabelledImage, LabelledImages, assemble

NAME = "cifar10"
_BATCH = re.compile(r"(?:.*/)?(?:(?P<train>data_batch_[0-9]+)|test_batch)(?P<binary>\.bin)?")
_META, _BINARY_META = "batches.meta", "batches.meta.txt"
_SIDE, _PIXELS = 32, 3 * 32 * 32
_MOST_BYTES = 2 << 30
_DAMAGED = "Download it again"


def plausible(listing: Listing) -> bool:
    return any(found and found["train"] for found in map(_BATCH.fullmatch, listing.keys))


def read(listing: Listing) -> LabelledImages:
    """All batches are held in memory: 184 MB. An image's key is its batch and its row.

    Raises DataError for a batch that is damaged; nothing in one is executed.
    """
    batches = {key: found for key in listing.keys if (found := _BATCH.fullmatch(key))}
    kinds = {bool(found["binary"]) for found in batches.values()}
    folders = {key.rpartition("/")[0] for key in batches}
    if len(kinds) != 1 or len(folders) != 1:
        raise DataError(
            f"{listing.store.url}: expected one folder with data_batch_1 … or with data_batch_1.bin …, found "
            f"{', '.join(sorted(batches, key=natural)[:8]) or 'none'}",
            "Give the folder of one of them",
        )
    prefix = f"{folders.pop()}/".lstrip("/")
    binary = kinds.pop()
    meta = prefix + (_BINARY_META if binary else _META)
    if meta not in listing.keys:
        raise DataError(
            f"{listing.url(meta)}: expected the names of the classes, found no such file",
            "Copy it from the archive that the batches came in",
        )
    names = (_names_of_text if binary else _names_of_pickle)(listing.url(meta), listing.read(meta))
    splits: dict[str, list[LabelledImage]] = {}
    pixels: dict[str, NDArray[np.uint8]] = {}
    size = 0
    for key in sorted(batches, key=natural):
        where = listing.url(key)
        images, labels = (_binary if binary else _pickled)(where, listing.read(key))
        size += images.nbytes
        if size > _MOST_BYTES:
            raise DataError(
                f"{listing.store.url}: the batches have more than {_MOST_BYTES >> 30} GiB", "Give fewer"
            )
        if len(labels) and not 0 <= labels.min() <= labels.max() < len(names):
            wrong = labels.min() if labels.min() < 0 else labels.max()
            raise DataError(f"{where}: expected labels from 0 to {len(names) - 1}, found {wrong}", _DAMAGED)
        items = splits.setdefault("train" if batches[key]["train"] else "test", [])
        for row, (name, label) in enumerate(zip(_keys(key, len(labels)), labels.tolist(), strict=True)):
            pixels[name] = images[row]
            items.append(LabelledImage(name, label))
    return assemble(listing, NAME, names, splits, read=[*batches, meta], pixels=pixels)


def _keys(batch: str, rows: int) -> Iterator[str]:
    return (f"{batch}/{row:05d}" for row in range(rows))


def _images(planes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(n, 3072), channel by channel -> (n, 32, 32, 3)."""
    return np.ascontiguousarray(planes.reshape(-1, 3, _SIDE, _SIDE).transpose(0, 2, 3, 1))


def _binary(where: str, data: bytes) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    if not data or len(data) % (1 + _PIXELS):
        raise DataError(
            f"{where}: expected a multiple of {1 + _PIXELS} bytes, found {len(data)}: the file is truncated",
            _DAMAGED,
        )
    rows = np.frombuffer(data, np.uint8).reshape(-1, 1 + _PIXELS)
    return _images(rows[:, 1:]), rows[:, 0].astype(np.int64)


def _pickled(where: str, data: bytes) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    batch = load_inert(where, data)
    planes = batch.get("data") if isinstance(batch, dict) else None
    labels: Any = batch.get("labels") if isinstance(batch, dict) else None
    if not isinstance(planes, np.ndarray) or planes.dtype != np.uint8 or planes.shape[1:] != (_PIXELS,):
        raise DataError(f"{where}: expected data as uint8 (n, {_PIXELS}), found something else", _DAMAGED)
    if not isinstance(labels, list) or not all(type(label) is int and abs(label) < 2**31 for label in labels):
        raise DataError(
            f"{where}: expected labels as a list of whole numbers, found something else", _DAMAGED
        )
    if len(labels) != len(planes):
        raise DataError(
            f"{where}: expected as many labels as images, found {len(labels)} and {len(planes)}", _DAMAGED
        )
    return _images(planes), np.array(labels, np.int64)


def _names_of_pickle(where: str, data: bytes) -> list[str]:
    meta = load_inert(where, data)
    names = meta.get("label_names") if isinstance(meta, dict) else None
    if isinstance(names, list):
        names = [name.decode("latin-1") if isinstance(name, bytes) else name for name in names]
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise DataError(f"{where}: expected label_names as a list of names, found something else", _DAMAGED)
    return names


def _names_of_text(where: str, data: bytes) -> list[str]:
    names = lines_of(where, data)
    if not all(names):
        raise DataError(f"{where}: expected the name of a class on each line, found an empty line", _DAMAGED)
    return names
