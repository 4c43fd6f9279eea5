"""The splits that each of some HDF5 files holds."""

import os
import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from trainer.dataset.manifest import index_beside
from trainer.dataset.shards.row_layout import RowLayout
from trainer.dataset.shards.shard_reader import Shard
from trainer.errors import ConfigError, DataError
from trainer.preparation.hdf5.names import file_key, split_of_path
from trainer.preparation.hdf5.process import ask
from trainer.storage import join, open_store, split_url

SUFFIXES = (".h5", ".hdf5", ".he5", ".hdf", ".mat")

PartT = TypeVar("PartT", bound="LabelledRows")
Task = Literal["find", "convert"]
"""Whether files are read where they lie, or converted."""


class Pair(NamedTuple):
    """The images and labels of a split, each [FILE:]NAME; `split` is empty where a file's path says it."""

    split: str
    images: str
    labels: str


@dataclass(frozen=True)
class DatasetNames:
    """What the datasets are called, where that is not found out; `labels` may be FILE:NAME, `classes` may be
    "none". `shape` of an image, (H, W, C) or (C, H, W), where rows are flat. `pairs` are those of splits."""

    images: str | None = None
    labels: str | None = None
    classes: str | None = None
    shape: tuple[int, int, int] | None = None
    pairs: tuple[Pair, ...] = ()

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "DatasetNames":
        """From JSON."""
        shape, pairs = values["shape"], values.get("pairs", ())
        lists: dict[str, Any] = {
            "shape": tuple(shape) if shape else None,
            "pairs": tuple(Pair(*pair) for pair in pairs),
        }
        return cls(**{**values, **lists})

    def prepare_command(self, source: str, target: str, *more: str) -> str:
        """What converts files with these names."""
        words = ["trainer", "prepare", source, target]
        pairs = self.pairs or ([Pair("", self.images, self.labels)] if self.images and self.labels else [])
        for split, images, labels in pairs:
            words += ["--hdf5", f"{split}={images},{labels}" if split else f"{images},{labels}"]
        if self.classes:
            words += ["--class-names", self.classes]
        if self.shape:
            words += ["--image-shape", "x".join(map(str, self.shape))]
        return shlex.join([*words, *more])


@dataclass(frozen=True)
class LabelledRows:
    """One split's rows in one file: of each its number in the dataset, int64 (n,), and its label, which with
    `names` is a place in these (see `hdf5.labels.Labels`)."""

    split: str
    file: dict[str, Any] = field(repr=False)
    images: str
    numbers: NDArray[np.int64]
    labels: NDArray[np.int64]
    names: tuple[str, ...] | None
    ordered: bool
    matlab: bool
    classes: tuple[str, ...] | None
    where: str


@dataclass(frozen=True)
class FileSplit(LabelledRows):
    """Rows and where they lie, the tables as in dataset.shards.ranges; without a checksum yet."""

    shard: Shard
    chunks: NDArray[np.void]
    pieces: NDArray[np.void]
    shape: tuple[int, int, int]
    assumed: str


class Hdf5Files(NamedTuple):
    """One HDF5 file, or the files below a prefix, by URL; `target` is where their index lies by default."""

    url: str
    files: tuple[str, ...]
    target: str

    @property
    def folder(self) -> str:
        """Where files that are named lie."""
        return split_url(self.url)[0] if self.files == (self.url,) else self.url


def find_source(url: str) -> Hdf5Files:
    """The HDF5 file at `url`, or those below it. Raises DataError for none."""
    url = open_store(url).url
    with suppress(FileNotFoundError, IsADirectoryError, ConfigError):
        file: str = stat(url)["url"]
        return Hdf5Files(file, (file,), index_beside(file))
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
    return ask_for_parts(source, names, "find", _part)


def ask_for_parts(
    source: Hdf5Files, names: DatasetNames, task: Task, make: Callable[..., PartT], /
) -> list[PartT]:
    """What the files hold, each part made by `make(common, found, arrays)`. Raises DataError."""
    parts = list(_ask(source, names, task, make))
    if not parts:
        raise DataError(
            f"{source.url}: found no images with labels",
            "Name them with --train IMAGES,LABELS (prepare: --hdf5 train=IMAGES,LABELS)",
        )
    return parts


def _ask(
    source: Hdf5Files, names: DatasetNames, task: Task, make: Callable[..., PartT], /
) -> Iterator[PartT]:
    def of(file: dict[str, Any], default: str, **question: Any) -> tuple[list[PartT], dict[str, Any]]:
        asked = {
            "task": task,
            "file": file,
            "classes": names.classes,
            "shape": names.shape,
            "several": False,
            **question,
        }
        with TemporaryDirectory(prefix="trainer-index-") as folder:
            answer = ask(file["url"], asked, Path(folder))
            parts = [
                make(_common(file, found, answer, default, folder, number), found, _Arrays(folder, number))
                for number, found in enumerate(answer["splits"])
            ]
        return parts, answer

    if names.pairs:
        for pair in names.pairs:
            images, labels = (_located(text, source) for text in pair[1:])
            if images.file is None:
                raise ConfigError(
                    f"{source.url}: expected FILE:{images.name}, there are {len(source.files)} files",
                    f"Name one of {', '.join(url.rpartition('/')[2] for url in source.files[:3])}",
                )
            yield from of(
                images.file,
                pair.split or split_of_path(images.file["url"].removeprefix(source.url)),
                labels_file=labels.file if labels.file != images.file else None,
                images=images.name,
                labels=labels.name,
            )[0]
        return
    alone: dict[str, list[tuple[dict[str, Any], str, str]]] = {"images": [], "labels": []}
    for url in source.files:
        file, path = stat(url), url.removeprefix(source.url)
        default = split_of_path(path)
        named = _located(names.labels, source, default=url) if names.labels else None
        parts, answer = of(
            file,
            default,
            labels_file=named.file if named and named.file != file else None,
            images=names.images,
            labels=named.name if named else None,
            several=len(source.files) > 1,
        )
        yield from parts
        for role, own in alone.items():
            own += [(file, split or default, name) for split, _, name in answer.get(f"{role}_only", ())]
    for images_file, split, images_name in alone["images"]:
        key = file_key(images_file["url"].removeprefix(source.url))
        fitting = [
            (file, name)
            for file, other, name in alone["labels"]
            if other == split and file_key(file["url"].removeprefix(source.url)) == key
        ]
        if len(fitting) != 1:
            raise DataError(
                f"{images_file['url']}: found the images {images_name}, and {len(fitting) or 'no'} files "
                "with labels for them",
                f"Name them: --{split} FILE:{images_name},FILE:LABELS (prepare: --hdf5 {split}=…)",
            )
        (labels_file, labels_name), *_ = fitting
        yield from of(images_file, split, labels_file=labels_file, images=images_name, labels=labels_name)[0]


class _Located(NamedTuple):
    file: dict[str, Any] | None
    name: str


def _located(text: str, source: Hdf5Files, *, default: str | None = None) -> _Located:
    """[FILE:]NAME; without FILE it is the only file, or `default`. Raises DataError for a file that is not
    there."""
    other, _, name = text.rpartition(":")
    if not other or name.startswith("//"):
        url = default or (source.files[0] if len(source.files) == 1 else None)
        return _Located(stat(url) if url else None, text)
    whole = "://" in other or os.path.isabs(other)
    try:
        return _Located(stat(other if whole else join(source.folder, other)), name)
    except FileNotFoundError as error:
        raise DataError(str(error), "Correct its name") from error


class _Arrays(NamedTuple):
    folder: str
    number: int

    def __call__(self, name: str) -> NDArray[Any]:
        path = Path(self.folder, f"{self.number}.{name}.npy")
        array: NDArray[Any] = np.load(path, allow_pickle=False)
        return array


def _common(
    file: dict[str, Any],
    found: dict[str, Any],
    answer: dict[str, Any],
    default: str,
    folder: str,
    number: int,
) -> dict[str, Any]:
    arrays = _Arrays(folder, number)
    return {
        "split": found["split"] or default,
        "file": file,
        "images": found["images"],
        "numbers": arrays("numbers"),
        "labels": arrays("labels"),
        "names": tuple(found["names"]) if found["names"] else None,
        "ordered": found["ordered"],
        "matlab": found["matlab"],
        "classes": tuple(answer["classes"]) if answer["classes"] else None,
        "where": f"{file['url']}: {found['images']} and {found['labels']}",
    }


def _part(common: dict[str, Any], found: dict[str, Any], arrays: _Arrays) -> FileSplit:
    file = common["file"]
    shard = Shard(
        key=file["url"],
        etag=file["etag"],
        size=file["size"],
        sha256="",
        rows=found["rows"],
        names_offset=0,
        names_width=0,
        layout=RowLayout.of(found["layout"]),
    )
    return FileSplit(
        **common,
        shard=shard,
        chunks=arrays("chunks"),
        pieces=arrays("pieces"),
        shape=tuple(found["shape"]),
        assumed=found["assumed"],
    )


def stat(url: str) -> dict[str, Any]:
    """An object, as the process of the HDF5 library gets to know it."""
    folder, key = split_url(url)
    store = open_store(folder)
    info = store.stat(key)
    return {"url": join(store.url, key), "etag": info.etag, "size": info.size}
