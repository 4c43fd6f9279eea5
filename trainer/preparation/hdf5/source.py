"""HDF5 files as a source of labelled images for `trainer prepare`: any that the HDF5 library reads.

Rows are extracted in strips by a process of its own (see hdf5.child), into files of at most some 256 MiB; or
of all rows where they are the last axis, so that the file is read once. The last strips are kept.
"""

import os
import shutil
import tempfile
import threading
from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from trainer.dataset.index import holds_hdf5
from trainer.dataset.manifest import SPLITS
from trainer.dataset.shards.row_layout import RowLayout
from trainer.errors import ConfigError, DataError, Interrupted
from trainer.images.files import has_image_suffix
from trainer.output.units import abbreviate, size
from trainer.preparation.hdf5.extract import ENDS, ROWS
from trainer.preparation.hdf5.labels import Classes, number_classes
from trainer.preparation.hdf5.parts import (
    SUFFIXES,
    LabelledRows,
    Names,
    ask_for_parts,
    find_source,
    stat,
)
from trainer.preparation.hdf5.process import SECONDS, ask
from trainer.preparation.labels import Item
from trainer.preparation.labels.source import Names as NamesAndCount
from trainer.preparation.labels.source import Source as LabelledSource
from trainer.storage import Store, join, open_store
from trainer.storage.base import ObjectInfo

LABELS = "hdf5"
"""What dataset.json says of where the labels come from."""
_SUFFIXES = tuple(suffix for suffix in SUFFIXES if suffix != ".mat")
"""Of files that are HDF5 or damaged; MATLAB's may be older than its use of HDF5."""
_STRIP_BYTES = 256 << 20
_STRIP_FILES = 2048
_KEPT_STRIPS = 2
_SLOWEST = 4 << 20
"""Bytes a second that extracting must reach, at least."""


@dataclass(frozen=True)
class SourceRows(LabelledRows):
    """A split's rows in one file, and their form; see `hdf5.form.Form`. The names of its images begin with
    `key`."""

    key: str
    shape: tuple[int, int, int]
    rows: int
    layout: RowLayout
    chunk_rows: int
    encoded: bool
    assumed: str

    @property
    def strip_rows(self) -> int:
        """How many rows are extracted together: whole chunks of them."""
        if self.encoded:
            wanted = _STRIP_FILES
        elif self.layout.last:
            free = shutil.disk_usage(tempfile.gettempdir()).free
            wanted = max(_STRIP_BYTES, free // (_KEPT_STRIPS + 1)) // self._row_bytes
        else:
            wanted = _STRIP_BYTES // self._row_bytes
        wanted = max(1, min(wanted, self.rows))
        return wanted - wanted % self.chunk_rows if wanted > self.chunk_rows else wanted

    @property
    def _row_bytes(self) -> int:
        return max(1, self.layout.row_bytes(self.shape))

    def bytes_of(self, rows: int) -> int:
        """Of the file with these rows, where that is known."""
        return 0 if self.encoded else rows * self._row_bytes


def is_hdf5(url: str) -> bool:
    """Whether it is an HDF5 file, or a folder that has some and no images; a few keys are looked at."""
    url = open_store(url).url
    if holds_hdf5(url) or (url.lower().endswith(_SUFFIXES) and _is_object(url)):
        return True
    first = ""
    with suppress(FileNotFoundError, NotADirectoryError):
        for info in open_store(url).list():
            if has_image_suffix(info.key):
                return False
            if not first and info.key.lower().endswith(SUFFIXES):
                first = info.key
    return bool(first) and (first.lower().endswith(_SUFFIXES) or holds_hdf5(join(url, first)))


def _is_object(url: str) -> bool:
    with suppress(FileNotFoundError, IsADirectoryError, ConfigError):
        return bool(stat(url))
    return False


def find_hdf5(
    url: str, names: Names, *, one_class: bool = False, of_folders: Mapping[str, object] | None = None
) -> "Hdf5Images":
    """The labelled images in the HDF5 file at `url`, or in those below it.

    Raises DataError for files that cannot be read, or whose labels do not fit, ConfigError where one of the
    options `of_folders`, which are for folders of images, has a value.
    """
    for option, value in (of_folders or {}).items():
        if value:
            raise ConfigError(
                f"--{option}: expected a folder of images, {url} is HDF5, whose datasets --hdf5 names",
                f"Leave out --{option}",
            )
    source = find_source(url)
    parts = list(ask_for_parts(source, names, "convert", partial(_source_rows, source.folder)))
    classes = number_classes(parts)
    kept, dropped = _kept_classes(source.url, parts, classes, one_class)
    new = {label: number for number, label in enumerate(kept)}
    splits: dict[str, list[Item]] = {name: [] for name in SPLITS}
    for part, labels in zip(parts, classes.labels, strict=True):
        for row, label in zip(part.numbers.tolist(), labels.tolist(), strict=True):
            splits[part.split].append(Item(f"{part.key}:{row}", new[label]))
    everything = [item.key for items in splits.values() for item in items]
    if len(set(everything)) < len(everything):
        twice, _ = Counter(everything).most_common(1)[0]
        raise DataError(f"{source.url}: {twice} is in two splits, or twice in one", "Name other datasets")
    assumed = [*(part.assumed for part in parts if part.assumed), *classes.assumed]
    warnings = [
        *dict.fromkeys(assumed),
        *([f"left out, for no image is there: {abbreviate(dropped, 5)}"] if dropped else []),
    ]
    return Hdf5Images(
        store=cast(Store, _Files(source.url, parts)),
        classes=tuple(classes.names[label] for label in kept),
        splits={name: tuple(items) for name, items in splits.items() if items},
        labels=LABELS,
        ignored=NamesAndCount(),
        warnings=tuple(warnings),
        strips=_Strips({part.key: part for part in parts}),
    )


def _kept_classes(
    url: str, parts: Sequence[SourceRows], classes: Classes, one_class: bool
) -> tuple[list[int], list[str]]:
    """The classes with training images, and the names of the others. Raises DataError."""
    used: dict[str, set[int]] = {name: set() for name in SPLITS}
    for part, labels in zip(parts, classes.labels, strict=True):
        used[part.split] |= set(np.unique(labels).tolist())
    if not used["train"]:
        raise DataError(
            f"{url}: found no images to train on, only for {', '.join(n for n in SPLITS if used[n])}",
            "Name them with --hdf5 train=IMAGES,LABELS",
        )
    for split in SPLITS[1:]:
        for label in sorted(used[split] - used["train"]):
            raise DataError(
                f"{url}: the class {classes.names[label]!r} has images in {split}, but no training images",
                "Add some, or remove the class",
            )
    if len(used["train"]) == 1 and not one_class:
        raise DataError(
            f"{url}: expected two classes or more, found one: {classes.names[min(used['train'])]}",
            "Name other labels with --hdf5, or give --one-class",
        )
    kept = sorted(used["train"])
    return kept, [name for label, name in enumerate(classes.names) if label not in used["train"]]


def _source_rows(folder: str, common: dict[str, Any], found: dict[str, Any], _: object) -> SourceRows:
    form, url = found["form"], common["file"]["url"]
    return SourceRows(
        **common,
        key=f"{url.removeprefix(open_store(folder).url).strip('/')}:{common['images']}",
        shape=tuple(form["shape"]),
        rows=form["rows"],
        layout=RowLayout.of(form["layout"]),
        chunk_rows=form["chunk_rows"],
        encoded=form["encoded"],
        assumed=form["assumed"],
    )


@dataclass(frozen=True)
class Hdf5Images(LabelledSource):
    """The rows of HDF5 files; an image's key is FILE:DATASET:ROW."""

    strips: "_Strips" = field(default=cast("_Strips", None), repr=False)

    def load(self, item: Item) -> bytes | NDArray[np.uint8]:
        key, _, row = item.key.rpartition(":")
        return self.strips.load(key, int(row))

    def in_reading_order(self, splits: Mapping[str, Sequence[Item]]) -> dict[str, list[Item]]:
        """The images strip by strip, in the order of the strips' first images; within each as they are."""
        ordered = {}
        for name, items in splits.items():
            first: dict[tuple[str, int], int] = {}
            strips = [self.strips.strip_of(*_place(item)) for item in items]
            for number, strip in enumerate(strips):
                first.setdefault(strip, number)
            places = sorted(range(len(items)), key=lambda place: first[strips[place]])
            ordered[name] = [items[place] for place in places]
        return ordered


def _place(item: Item) -> tuple[str, int]:
    key, _, row = item.key.rpartition(":")
    return key, int(row)


class _Strips:
    """Gives rows, from any number of threads; the last strips that were extracted are kept."""

    def __init__(self, parts: Mapping[str, SourceRows]) -> None:
        self._parts = parts
        self._sizes = {key: part.strip_rows for key, part in parts.items()}
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[str, int], _Strip] = OrderedDict()

    def strip_of(self, key: str, row: int) -> tuple[str, int]:
        return key, row // self._sizes[key]

    def load(self, key: str, row: int) -> bytes | NDArray[np.uint8]:
        """A row's file, or its pixels (H, W, 3). Raises DataError."""
        part, place = self._parts[key], self.strip_of(key, row)
        with self._lock:
            if place not in self._kept:
                self._kept[place] = _Strip(part, place[1] * self._sizes[key], self._sizes[key])
                while len(self._kept) > _KEPT_STRIPS:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(place)
            strip = self._kept[place]
        data = strip.row(row)
        if part.encoded:
            return data
        layout = RowLayout(dtype=part.layout.dtype, scale=part.layout.scale, axes=part.layout.axes)
        where = f"{part.file['url']}: {part.images}"
        return layout.decode(memoryview(data), (), row, 1, part.shape, where)[0]


class _Strip:
    """Rows in a file without a name, which is gone when nobody holds it."""

    def __init__(self, part: SourceRows, start: int, rows: int) -> None:
        stop = min(start + rows, part.rows)
        self._start = start
        question = {
            "task": "extract",
            "file": part.file,
            "images": part.images,
            "start": start,
            "stop": stop,
            "last": part.layout.last,
            "encoded": part.encoded,
            "seconds": SECONDS + part.file["size"] / _SLOWEST,
            "cpu_seconds": int(SECONDS + part.file["size"] / _SLOWEST),
        }
        needed = part.bytes_of(stop - start)
        with tempfile.TemporaryDirectory(prefix="trainer-", ignore_cleanup_errors=True) as folder:
            if needed > (free := shutil.disk_usage(folder).free):
                raise Interrupted(
                    f"extracting rows needs {size(needed)} in {tempfile.gettempdir()}, where {size(free)} "
                    "are free",
                    "Free some space, or name another folder with TMPDIR",
                )
            ask(part.file["url"], question, Path(folder))
            self._file = os.open(Path(folder, ROWS), os.O_RDONLY)
            if part.encoded:
                self._ends = np.load(Path(folder, ENDS), allow_pickle=False)
            else:
                self._ends = np.arange(1, stop - start + 1) * part.bytes_of(1)

    def row(self, number: int) -> bytes:
        """The bytes of a row, by its number in the dataset."""
        place = number - self._start
        start = int(self._ends[place - 1]) if place else 0
        return os.pread(self._file, int(self._ends[place]) - start, start)

    def __del__(self) -> None:
        if hasattr(self, "_file"):
            os.close(self._file)


class _Files:
    """The source's files, as `prepare` looks at a source: its URL, and what is there."""

    def __init__(self, url: str, parts: Sequence[LabelledRows]) -> None:
        self.url = url
        self._files = {part.file["url"]: part.file for part in parts}

    def list(self) -> Iterator[ObjectInfo]:
        """The files that are read."""
        return (ObjectInfo(url, file["size"], file["etag"]) for url, file in self._files.items())


def options_of(names: Names) -> dict[str, Any]:
    """What `names` say, for dataset.json."""
    return {"hdf5": asdict(names)} if names != Names() else {}
