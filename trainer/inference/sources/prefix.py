"""The objects below a prefix: images to classify, problems of some of them, and what is skipped."""

import os
import re
import stat
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trainer.errors import DataError
from trainer.images.codec import SUFFIXES
from trainer.images.decoding import Decoded
from trainer.images.files import has_image_suffix, is_hidden
from trainer.inference.sources.image import Image, Task
from trainer.inference.sources.reading import MAX_BYTES, decoder, shown
from trainer.output.units import size
from trainer.runs.run_document import RunDocument
from trainer.storage import ObjectChanged, ObjectInfo, Store

UNREAD = (".jxl", ".svg", ".psd", ".dng", ".cr2", ".cr3", ".nef", ".arw")
"""Suffixes of images that are not read."""

HIDDEN, FOLDER = "hidden (a name that begins with a dot, or __MACOSX)", "folder marker (size 0, ends with /)"

_SUFFIX = re.compile(r"\.(?=[^.]*[a-z])[a-z0-9]{1,8}", re.ASCII)


class Prefix:
    """The images below a URL; see `ImageSource`. Each is read as it was when it was listed."""

    def __init__(self, store: Store, run: RunDocument) -> None:
        self.store = store
        self.ignored: Counter[str] = Counter()
        self.bound: dict[str, str] = {}
        self._decoder = decoder(self, run)

    @property
    def url(self) -> str:
        return self.store.url

    def __iter__(self) -> Iterator[Image]:
        """Raises DataError where the input is not a folder of this machine."""
        self.ignored.clear()
        yield from list_images(self.store, self.ignored)

    def read(self, tasks: Iterable[Task]) -> Iterator[Decoded[Task]]:
        return self._decoder.decode(tasks)

    def load(self, task: Task) -> bytes:
        """Raises DataError for an image that has changed, FileNotFoundError for one that was deleted."""
        image = task.image
        try:
            return bytes(self.store.get_range(image.key, 0, image.size, etag=image.etag))
        except (ObjectChanged, EOFError):
            raise DataError(f"{image.key}: changed after it was listed") from None
        except ValueError as error:
            raise DataError(f"{image.key}: an object of this name cannot be read ({error})") from None

    def show(self, key: str) -> NDArray[np.uint8] | None:
        return shown(lambda: self.store.get(key))

    def name(self, key: str) -> str:
        return key

    def label(self, key: str) -> None:
        """None: the classes are unknown."""


def list_images(store: Store, ignored: Counter[str]) -> Iterator[Image]:
    """The images of a store, as it lists them; counts by rule what is skipped."""
    for image in _objects(store):
        rule = _ignored(image)
        if rule:
            ignored[rule] += 1
        else:
            yield image if image.problem else _checked(image)


def _ignored(image: Image) -> str:
    """The rule by which an object is skipped; "" for an image, and for an object without a suffix, which is
    recognised by its first bytes."""
    if image.key.endswith("/") and not image.problem:
        return FOLDER
    if is_hidden(image.key):
        return HIDDEN
    suffix = suffix_of(image.key)
    return "" if not suffix or suffix in SUFFIXES or suffix in UNREAD else f"suffix {suffix}"


def suffix_of(key: str) -> str:
    """The suffix of a key, such as ".jpg"; "" where there is none."""
    suffix = os.path.splitext(key.rpartition("/")[2])[1].lower()
    return suffix if _SUFFIX.fullmatch(suffix) else ""


def _checked(image: Image) -> Image:
    problem = ""
    if not has_image_suffix(image.key) and (suffix := suffix_of(image.key)) in UNREAD:
        problem = f"{suffix[1:].upper()} files are not read; convert it to JPEG, PNG, WebP, BMP, GIF or TIFF"
    elif image.size == 0:
        problem = "the file is empty"
    elif image.size > MAX_BYTES:
        problem = f"too large: {size(image.size)}; at most {size(MAX_BYTES)} are read"
    return Image(image.key, image.size, image.etag, problem) if problem else image


def _objects(store: Store) -> Iterator[Image]:
    if store.local_root is None:
        yield from (Image(info.key, info.size, info.etag) for info in store.list())
        return
    root = str(store.local_root)
    if not os.path.isdir(root):
        raise DataError(f"{root}: no such folder", "Specify a folder of images, or s3://bucket/prefix")
    yield from _walk(store, root, "", (os.path.realpath(root),))


def _walk(store: Store, root: str, prefix: str, parents: tuple[str, ...]) -> Iterator[Image]:
    """The files below a folder in the order of their names; a link to a folder above is not followed."""
    try:
        with os.scandir(Path(root, prefix)) as listing:
            entries = sorted(listing, key=lambda entry: os.fsencode(entry.name))
    except OSError as error:
        yield _unusable(prefix, f"the folder cannot be read ({error.strerror})")
        return
    for entry in entries:
        key = prefix + entry.name
        try:
            info = entry.stat()
        except OSError as error:
            yield _unusable(key, f"a broken symlink, or one that cannot be read ({error.strerror})")
            continue
        if stat.S_ISDIR(info.st_mode):
            real = os.path.realpath(entry.path)
            if real in parents:
                yield _unusable(key, "a symlink to a folder above it")
            else:
                yield from _walk(store, root, f"{key}/", (*parents, real))
        elif not stat.S_ISREG(info.st_mode):
            yield _unusable(key, "not a regular file")
        else:
            yield _regular(store, key)


def _regular(store: Store, key: str) -> Image:
    if not _is_text(key):
        return _unusable(key, "its name is not UTF-8; rename it")
    try:
        info: ObjectInfo = store.stat(key)
    except (OSError, ValueError):
        return _unusable(key, "it was deleted, or cannot be read")
    return Image(key, info.size, info.etag)


def _unusable(key: str, problem: str) -> Image:
    readable = key.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return Image(readable, problem=problem)


def _is_text(key: str) -> bool:
    try:
        key.encode()
    except UnicodeEncodeError:
        return False
    return True
