"""Where the images are, and which class each is of.

One convention so far: a folder for each class, `ROOT/CLASS/*.jpg`, at the root or below `ROOT/train`,
`ROOT/validation` and `ROOT/test`.
"""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from trainer.dataset.images import SUFFIXES
from trainer.errors import DataError
from trainer.storage import open_store
from trainer.storage.base import Store

_SPLITS = {
    "train": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "test": "test",
}
_PLACE = "Put the images of each class into a folder of the class's name"


@dataclass(frozen=True)
class Item:
    """One image: its key in the source's store, and the number of its class."""

    key: str
    label: int


@dataclass(frozen=True)
class Source:
    """Labelled images. `splits` has "train", and "validation" and "test" where the source has them;
    `ignored` counts the files that are no images by their suffix, or lie where none are expected."""

    store: Store
    classes: tuple[str, ...]
    splits: dict[str, tuple[Item, ...]]
    ignored: int


def class_folders(url: str) -> Source:
    """Find the images below a local folder or an object URL; the classes are sorted by name.

    Hidden files and folders are skipped. Raises DataError for an empty folder or class, and for a class
    that has images to validate or to test on but none to train on.
    """
    store = open_store(url)
    files, folders = _listing(store)
    if not files and not folders:
        raise DataError(f"{store.url}: expected class folders with images, found nothing", _PLACE)
    prefixes = _split_folders(store, folders)
    found = {
        split: {name: _images(files, f"{prefix}{name}/") for name in _below(folders, prefix)}
        for split, prefix in prefixes.items()
    }
    classes = tuple(sorted(found["train"]))
    if not classes:
        raise DataError(f"{store.url}/{prefixes['train']}: expected class folders, found none", _PLACE)
    for split, keys_of in found.items():
        for name, keys in keys_of.items():
            where = f"{store.url}/{prefixes[split]}{name}"
            if not keys:
                raise DataError(
                    f"{where}: the class has no images ({', '.join(SUFFIXES)})",
                    "Add images, or remove the folder",
                )
            if name not in found["train"]:
                raise DataError(
                    f"{where}: the class {name!r} has no training images",
                    f"Add the folder {prefixes['train']}{name}, or remove the folder",
                )
    splits = {
        split: tuple(Item(key, label) for label, name in enumerate(classes) for key in keys_of.get(name, ()))
        for split, keys_of in found.items()
    }
    return Source(store, classes, splits, sum(map(len, files.values())) - sum(map(len, splits.values())))


def _split_folders(store: Store, folders: frozenset[str]) -> dict[str, str]:
    """Split -> its folder's prefix; a source without a `train` folder is all training images."""
    top = _below(folders, "")
    # A class may be called train: then no folders are in it.
    if "train" not in top or not _below(folders, "train/"):
        return {"train": ""}
    twice = [
        split
        for split, count in Counter(_SPLITS[name] for name in top if name in _SPLITS).items()
        if count > 1
    ]
    odd = [name for name in top if name not in _SPLITS]
    if twice or odd:
        raise DataError(
            f"{store.url}: expected train, validation (or valid, or val) and test, found {', '.join(top)}",
            "Rename or remove the others",
        )
    return {_SPLITS[name]: f"{name}/" for name in top}


def _below(folders: Iterable[str], prefix: str) -> list[str]:
    """The names of the folders directly below a prefix, sorted."""
    rests = (folder[len(prefix) :] for folder in folders if folder.startswith(prefix))
    return sorted(rest for rest in rests if rest and "/" not in rest)


def _images(files: Mapping[str, Sequence[str]], prefix: str) -> list[str]:
    names = files.get(prefix, [])
    return [prefix + name for name in sorted(names) if name.lower().endswith(SUFFIXES)]


def _listing(store: Store) -> tuple[dict[str, list[str]], frozenset[str]]:
    """The files that are not hidden, by their folder's prefix ("" or "a/b/"), and the folders ("a/b")."""
    files: dict[str, list[str]] = {}
    folders: set[str] = set()
    for key in _keys(store):
        *parents, name = key.split("/")
        if any(map(_hidden, parents)) or _hidden(name):
            continue
        folders.update("/".join(parents[:depth]) for depth in range(1, len(parents) + 1))
        if name:
            files.setdefault("".join(f"{parent}/" for parent in parents), []).append(name)
    return files, frozenset(folders)


def _keys(store: Store) -> Iterator[str]:
    """Every key; one that ends with "/" is a folder, which a listing of objects may not show."""
    scheme, _, path = store.url.partition("://")
    if scheme != "file":
        try:
            yield from (info.key for info in store.list())
        except FileNotFoundError as error:
            raise DataError(str(error), "Name a folder of images, or s3://bucket/prefix") from error
        return
    root = Path(unquote(path))
    if not root.is_dir():
        raise DataError(f"{root}: no such folder", "Name a folder of images, or s3://bucket/prefix")
    for parent, folders, names in os.walk(root, followlinks=True):
        prefix = Path(parent).relative_to(root).as_posix()
        prefix = "" if prefix == "." else f"{prefix}/"
        folders[:] = [name for name in folders if not _hidden(name)]
        yield from (f"{prefix}{name}/" for name in folders)
        yield from (f"{prefix}{name}" for name in names)


def _hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"
