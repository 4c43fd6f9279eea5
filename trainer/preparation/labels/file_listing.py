"""The files of a source, and which of them are images."""

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from trainer.errors import DataError
from trainer.images.files import has_image_suffix, is_folder, is_hidden, natural
from trainer.storage import open_store
from trainer.storage.base import Store

_UNPACK = "Unpack it with unzip or tar -x, and give the folder"
_ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".7z", ".rar")
_REMEDY = "Name a folder of images, or s3://bucket/prefix"


@dataclass(frozen=True)
class Listing:
    """The keys of the files that are not hidden, and the folders, without a slash at the end."""

    store: Store
    keys: tuple[str, ...]
    folders: frozenset[str]

    @cached_property
    def images(self) -> tuple[str, ...]:
        """The keys of the images, in order; numbers sort as numbers."""
        return tuple(sorted(filter(has_image_suffix, self.keys), key=natural))

    @cached_property
    def folders_of_images(self) -> frozenset[str]:
        """The folders in which images lie directly; "" is the top."""
        return frozenset(key.rpartition("/")[0] for key in self.images)

    def below(self, prefix: str) -> list[str]:
        """The names of the folders directly below a prefix, sorted."""
        rests = (folder[len(prefix) :] for folder in self.folders if folder.startswith(prefix))
        return sorted(rest for rest in rests if rest and "/" not in rest)

    def named(self, *names: str) -> list[str]:
        """The files of these names, in whatever folder, sorted."""
        return sorted(key for key in self.keys if key.rpartition("/")[2] in names)

    def read(self, key: str) -> bytes:
        return self.store.get(key)

    def url(self, key: str) -> str:
        return f"{self.store.url}/{key}"


def list_files(url: str) -> Listing:
    """List a local folder or the objects below a URL. Raises DataError where there is nothing, and for
    a key whose first folder has no name."""
    store = open_store(url)
    keys: list[str] = []
    folders: set[str] = set()
    for key in _keys(store):
        parent, _, name = key.rpartition("/")
        if is_hidden(key):
            continue
        if key.startswith("/") and name:
            raise DataError(
                f"{store.url}: expected folders with names, received the key {store.url}/{key}",
                "Copy the objects to keys without a slash too many",
            )
        while parent and parent not in folders:
            folders.add(parent)
            parent = parent.rpartition("/")[0]
        if name:
            keys.append(key)
    archives = [key for key in keys if is_archive(key)]
    if archives and not any(map(has_image_suffix, keys)):
        raise DataError(f"{store.url}: expected images, found an archive, {archives[0]}", _UNPACK)
    if not keys and not folders:
        raise DataError(f"{store.url}: expected images, found nothing", _REMEDY)
    return Listing(store, tuple(keys), frozenset(folders))


def is_archive(key: str) -> bool:
    """Whether a file's name is that of an archive."""
    return key.lower().endswith(_ARCHIVES)


def in_order(names: Iterable[str]) -> list[str]:
    """Class names in order: by value if all are whole numbers, else by name."""
    names = list(names)
    if all(re.fullmatch("[0-9]+", name) for name in names):
        return sorted(names, key=lambda name: (int(name), name))
    return sorted(names)


def _keys(store: Store) -> Iterator[str]:
    """Every key; one that ends with "/" is a folder, which a listing of objects may not show."""
    if store.local_root is not None:
        root = str(store.local_root)
        if is_archive(root):
            raise DataError(f"{root}: expected a folder of images, found an archive", _UNPACK)
        if os.path.isfile(root):
            raise DataError(f"{root}: expected a folder of images, found a file", _REMEDY)
        if not os.path.isdir(root):
            raise DataError(f"{root}: no such folder", _REMEDY)
        yield from _walk(root, "", (os.path.realpath(root),))
        return
    if is_archive(store.url):
        raise DataError(f"{store.url}: expected a prefix of images, found an archive", _UNPACK)
    try:
        yield from (info.key for info in store.list())
    except FileNotFoundError as error:
        raise DataError(str(error), _REMEDY) from error


def _walk(root: str, prefix: str, above: tuple[str, ...]) -> Iterator[str]:
    """The files below a folder, without a look at each; a link to a folder above is not followed."""
    folders = []
    with os.scandir(Path(root, prefix)) as entries:
        for entry in entries:
            if is_hidden(entry.name):
                continue
            if is_folder(entry):
                folders.append((entry.name, entry.is_symlink()))
            else:
                yield prefix + entry.name
    for name, linked in sorted(folders):
        real = os.path.realpath(os.path.join(root, prefix, name)) if linked else f"{above[-1]}/{name}"
        if real in above:
            continue
        yield f"{prefix}{name}/"
        yield from _walk(root, f"{prefix}{name}/", (*above, real))
