"""Which datasets of a file are images, labels and class names: pure, by the names in use."""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

_SPLITS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing"),
}
_IMAGES = ("images", "image", "x", "X", "data", "features")
_LABELS = ("labels", "label", "y", "Y", "targets", "target")
CLASSES = ("list_classes", "classes", "class_names", "label_names")


@dataclass(frozen=True)
class Found:
    """The names of one split's images and labels; `split` is empty where they do not say."""

    split: str
    images: str
    labels: str


def find_splits(names: Collection[str]) -> list[Found]:
    """The splits in a file of datasets with these names, or all of it as one."""
    found = [
        Found(split, *pair) for split, words in _SPLITS.items() if (pair := _first(_named(words), names))
    ]
    if not found and (pair := _first(_pairs("", ""), names)):
        found = [Found("", *pair)]
    return found


def split_of_path(path: str) -> str:
    """The last word for a split in a path, as in `test/a.h5` or `x_test.h5`; "train" without any."""
    words = re.findall(r"[a-z]+", path.lower())
    named = {word: split for split, known in _SPLITS.items() for word in known}
    return next((named[word] for word in reversed(words) if word in named), "train")


def _named(words: Collection[str]) -> Iterator[tuple[str, str]]:
    for word in words:
        yield f"{word}_set_x", f"{word}_set_y"
        for before, after in (("", f"_{word}"), (f"{word}_", ""), (f"{word}/", ""), ("", f"/{word}")):
            yield from _pairs(before, after)


def _pairs(before: str, after: str) -> Iterator[tuple[str, str]]:
    for images in _IMAGES:
        for labels in _LABELS:
            yield f"{before}{images}{after}", f"{before}{labels}{after}"


def _first(pairs: Iterator[tuple[str, str]], names: Collection[str]) -> tuple[str, str] | None:
    return next((pair for pair in pairs if pair[0] in names and pair[1] in names), None)
