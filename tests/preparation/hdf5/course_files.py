"""HDF5 files as courses hand them out, in every form that can be read as it is."""

from collections.abc import Iterable, Iterator
from itertools import cycle, product
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

ROWS, HEIGHT, WIDTH, CLASSES = 53, 12, 10, 4

DTYPES = {"uint8": ("u1", 1), "0 to 1": ("<f4", 255), "0 to 255": (">f8", 1), "wide": ("<i2", 1)}
AXES = ("HWC", "CHW", "HW", "HW1", "HWC last", "HW last", "flat", "flat last")
STORAGES: dict[str, dict[str, Any]] = {
    "contiguous": {},
    "chunks": {"chunks": "rows"},
    "gzip": {"chunks": "rows", "compression": "gzip"},
    "all filters": {"chunks": "rows", "compression": "gzip", "shuffle": True, "fletcher32": True},
    "pieces": {"chunks": "pieces", "compression": "gzip", "shuffle": True},
    "plain pieces": {"chunks": "pieces"},
}
LABELS = ("(n,)", "(n, 1)", "(1, n)", "one-hot", "float")


class Course(NamedTuple):
    """A file with `images` and `labels`, and what must be read from it."""

    path: Path
    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    shape: tuple[int, int, int] | None


def courses(folder: Path, dtypes: Iterable[str] | None = None) -> Iterator[Course]:
    """One file for each form of images, of each of `dtypes`; without, these and the labels' take turns."""
    turns, labels_form = cycle(DTYPES), cycle(LABELS)
    for axes, storage in product(AXES, STORAGES):
        for dtype in dtypes or [next(turns)]:
            path = folder / f"{dtype}, {axes}, {storage}.h5"
            yield write_course(path, dtype, axes, storage, next(labels_form))


def write_course(path: Path, dtype: str, axes: str, storage: str, labels: str) -> Course:
    draw = np.random.default_rng(7)
    kind, scale = DTYPES[dtype]
    grey = axes.startswith("HW") and not axes.startswith("HWC")
    images = draw.integers(0, 256, (ROWS, HEIGHT, WIDTH, 1 if grey else 3), np.uint8)
    numbers = np.arange(ROWS) % CLASSES
    stored = (images / scale).astype(kind)
    match axes.removesuffix(" last"):
        case "CHW":
            stored = stored.transpose(0, 3, 1, 2)
        case "HW":
            stored = stored[..., 0]
        case "flat":
            stored = stored.reshape(ROWS, -1)
    if axes.endswith("last"):
        stored = np.moveaxis(stored, 0, -1)
    options = {**STORAGES[storage]}
    if "chunks" in options:
        options["chunks"] = _chunks(stored.shape, options["chunks"], last=axes.endswith("last"))
    with h5py.File(path, "w") as file:
        file.create_dataset("images", data=stored, **options)
        file["labels"] = _labels(numbers, labels)
        file["list_classes"] = np.array([b"cat", b"dog", "école".encode(), b"x"])
    shape = (HEIGHT, WIDTH, 3) if axes.startswith("flat") else None
    return Course(path, np.repeat(images, 3, axis=3) if grey else images, numbers, shape)


def _chunks(shape: tuple[int, ...], kind: str, *, last: bool) -> tuple[int, ...]:
    if kind == "pieces":
        return tuple(max(1, min(length, 7)) for length in shape)
    return (*shape[:-1], shape[-1]) if last else (8, *shape[1:])


def _labels(numbers: NDArray[np.int64], form: str) -> NDArray[Any]:
    match form:
        case "(n, 1)":
            return numbers[:, None]
        case "(1, n)":
            return numbers[None]
        case "one-hot":
            return np.eye(CLASSES)[numbers]
        case "float":
            return numbers.astype("f4")
    return numbers
