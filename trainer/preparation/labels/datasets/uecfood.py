"""UECFOOD: a numbered folder for each class, their names in `category.txt`, boxes in each `bb_info.txt`."""

import re

from trainer.errors import DataError
from trainer.images.files import natural
from trainer.preparation.labels.file_listing import Listing
from trainer.preparation.labels.formats.class_names import class_list
from trainer.preparation.labels.formats.text import lines_of
from trainer.preparation.labels.source import Box, LabelledImage, LabelledImages, assemble

NAME = "uecfood"
CATEGORIES = "category.txt"
_BOXES = "bb_info.txt"


def plausible(listing: Listing) -> bool:
    return any(
        re.fullmatch("[0-9]+", folder)
        for key in listing.named(CATEGORIES)
        for folder in listing.below(key.removesuffix(CATEGORIES))
    )


def read(listing: Listing, *, crop: bool = False) -> LabelledImages:
    """The classes are in the order of their numbers.

    With `crop` an image is its largest box; images without one are left out. An image that shows several
    dishes lies in the folder of each.
    """
    found = listing.named(CATEGORIES)
    if len(found) != 1:
        raise DataError(
            f"{listing.store.url}: expected one {CATEGORIES}, found {', '.join(found) or 'none'}",
            "Give the folder that holds it",
        )
    prefix = found[0].removesuffix(CATEGORIES)
    where = listing.url(found[0])
    names = class_list(where, listing.read(found[0]))
    if not isinstance(names, dict):
        raise DataError(f"{where}: expected a number and a name on each line", "Correct the file")
    numbers = sorted(names)
    label = {number: place for place, number in enumerate(numbers)}
    items: list[LabelledImage] = []
    read = [found[0]]
    missing: list[str] = []
    images: dict[str, list[str]] = {}
    for key in listing.images:
        folder, slash, rest = key[len(prefix) :].partition("/")
        if key.startswith(prefix) and slash and "/" not in rest:
            images.setdefault(folder, []).append(key)
    keys = set(listing.keys)
    for folder in sorted(images, key=natural):
        if not re.fullmatch("[0-9]+", folder):
            continue
        number = int(folder)
        if number not in label:
            raise DataError(f"{where}: has no name for the folder {folder}", "Add it, or remove the folder")
        file = f"{prefix}{folder}/{_BOXES}"
        boxes: dict[str, Box] = {}
        if file in keys:
            read.append(file)
            if crop:
                boxes = _boxes(listing, file)
        for key in images[folder]:
            stem = key.rpartition("/")[2].rpartition(".")[0]
            if not crop:
                items.append(LabelledImage(key, label[number]))
            elif stem in boxes:
                items.append(LabelledImage(key, label[number], boxes[stem]))
        there = {key.rpartition("/")[2].rpartition(".")[0] for key in images[folder]}
        missing += [f"{folder}/{stem}" for stem in boxes if stem not in there]
    return assemble(
        listing, NAME, [names[number] for number in numbers], {"train": items}, missing=missing, read=read
    )


def _boxes(listing: Listing, file: str) -> dict[str, Box]:
    """Image (its name without suffix) -> its largest box."""
    where = listing.url(file)
    found: dict[str, Box] = {}
    for line, text in enumerate(lines_of(where, listing.read(file)), 1):
        words = text.split()
        if not words or (line == 1 and words[0] == "img"):
            continue
        if len(words) != 5 or not all(re.fullmatch("[0-9]{1,9}", word) for word in words[1:]):
            raise DataError(
                f"{where}, line {line}: expected img x1 y1 x2 y2, found {text[:60]!r}", "Correct it"
            )
        left, top, right, bottom = map(int, words[1:])
        box = (left, top, right, bottom)
        if words[0] not in found or _area(box) > _area(found[words[0]]):
            found[words[0]] = box
    return found


def _area(box: Box) -> int:
    return (box[2] - box[0]) * (box[3] - box[1])
