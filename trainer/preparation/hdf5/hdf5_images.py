"""HDF5 files as a source of labelled images for `trainer prepare`: any that the HDF5 library reads."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from trainer.dataset.manifest import SPLITS
from trainer.dataset.open_dataset import holds_hdf5
from trainer.dataset.shards.row_layout import RowLayout
from trainer.errors import ConfigError, DataError
from trainer.images.files import has_image_suffix
from trainer.output.units import abbreviate
from trainer.preparation.hdf5.parts import (
    SUFFIXES,
    DatasetNames,
    LabelledRows,
    ask_for_parts,
    find_source,
    stat,
)
from trainer.preparation.hdf5.read_labels import Classes, number_classes
from trainer.preparation.hdf5.strips import SourceRows, Strips
from trainer.preparation.labels import LabelledImage
from trainer.preparation.labels.source import LabelledImages as LabelledSource
from trainer.preparation.labels.source import NamesAndCount as NamesAndCount
from trainer.storage import Store, join, open_store
from trainer.storage.base import ObjectInfo

LABELS = "hdf5"
"""What dataset.json says of where the labels come from."""
_SUFFIXES = tuple(suffix for suffix in SUFFIXES if suffix != ".mat")
"""The ends of names of files that are HDF5 or damaged; MATLAB's may be older than its use of HDF5."""


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
    url: str, names: DatasetNames, *, one_class: bool = False, of_folders: Mapping[str, object] | None = None
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
    parts = ask_for_parts(source, names, "convert", partial(_source_rows, source.folder))
    classes = number_classes(parts)
    kept, dropped = _kept_classes(source.url, parts, classes, one_class)
    new = {label: number for number, label in enumerate(kept)}
    splits: dict[str, list[LabelledImage]] = {name: [] for name in SPLITS}
    for part, labels in zip(parts, classes.labels, strict=True):
        for row, label in zip(part.numbers.tolist(), labels.tolist(), strict=True):
            splits[part.split].append(LabelledImage(f"{part.key}:{row}", new[label]))
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
        strips=Strips({part.key: part for part in parts}),
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
        if missing := used[split] - used["train"]:
            raise DataError(
                f"{url}: the class {classes.names[min(missing)]!r} has images in {split}, but no training "
                "images",
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

    strips: Strips = field(default_factory=lambda: Strips({}), repr=False)

    def load(self, item: LabelledImage) -> bytes | NDArray[np.uint8]:
        key, _, row = item.key.rpartition(":")
        return self.strips.load(key, int(row))

    def in_reading_order(
        self, splits: Mapping[str, Sequence[LabelledImage]]
    ) -> dict[str, list[LabelledImage]]:
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


def _place(item: LabelledImage) -> tuple[str, int]:
    key, _, row = item.key.rpartition(":")
    return key, int(row)


class _Files:
    """The source's files, as `prepare` looks at a source: its URL, and what is there."""

    def __init__(self, url: str, parts: Sequence[LabelledRows]) -> None:
        self.url = url
        self._files = {part.file["url"]: part.file for part in parts}

    @property
    def local_root(self) -> None:
        """None, since its rows are not files of a folder."""

    def list(self) -> Iterator[ObjectInfo]:
        """The files that are read."""
        return (ObjectInfo(url, file["size"], file["etag"]) for url, file in self._files.items())


def options_of(names: DatasetNames) -> dict[str, Any]:
    """What `names` say, for dataset.json."""
    return {"hdf5": asdict(names)} if names != DatasetNames() else {}
