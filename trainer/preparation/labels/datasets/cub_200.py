"""CUB-200: `images.txt`, `image_class_labels.txt`, `train_test_split.txt`, `classes.txt` and `images/`."""

import re

from trainer.errors import DataError
from trainer.preparation.labels.file_listing import Listing
from trainer.preparation.labels.formats.text import lines_of
from trainer.preparation.labels.source import LabelledImage, LabelledImages, assemble

NAME = "cub-200"
_IMAGES, _LABELS, _SPLITS, _NAMES = (
    *("images.txt", "image_class_labels.txt"),
    *("train_test_split.txt", "classes.txt"),
)


def plausible(listing: Listing) -> bool:
    return bool(listing.named(_LABELS)) and bool(listing.named(_IMAGES))


def read(listing: Listing) -> LabelledImages:
    """Without `train_test_split.txt` all images are for training. Raises DataError for files that do not fit
    each other."""
    found = listing.named(_LABELS)
    if len(found) != 1:
        raise DataError(f"{listing.store.url}: expected one {_LABELS}, found {', '.join(found)}", "Keep one")
    prefix = found[0].removesuffix(_LABELS)
    images = _numbered(listing, prefix + _IMAGES)
    labels = _numbered(listing, prefix + _LABELS)
    names = _numbered(listing, prefix + _NAMES)
    used = [prefix + _IMAGES, prefix + _LABELS, prefix + _NAMES]
    train = dict.fromkeys(images, "1")
    if prefix + _SPLITS in listing.keys:
        train = _numbered(listing, prefix + _SPLITS)
        used.append(prefix + _SPLITS)
    if not images.keys() == labels.keys() == train.keys():
        raise DataError(
            f"{listing.url(prefix + _IMAGES)}: expected the images of {_LABELS} and {_SPLITS}, found others",
            "Take the files of one archive",
        )
    wrong = {label for label in labels.values() if not label.isdecimal() or int(label) not in names}
    wrong |= {flag for flag in train.values() if flag not in ("0", "1")}
    if wrong:
        raise DataError(
            f"{listing.url(prefix)}: expected classes of {_NAMES}, and 0 or 1 in {_SPLITS}, found "
            f"{min(wrong)!r}",
            "Take the files of one archive",
        )
    there = set(listing.images)
    numbers = sorted(names)
    splits: dict[str, list[LabelledImage]] = {}
    missing = []
    for number, path in images.items():
        key = f"{prefix}images/{path}"
        if key in there:
            label = numbers.index(int(labels[number]))
            splits.setdefault("train" if train[number] == "1" else "test", []).append(
                LabelledImage(key, label)
            )
        else:
            missing.append(path)
    return assemble(listing, NAME, [names[number] for number in numbers], splits, missing=missing, read=used)


def _numbered(listing: Listing, key: str) -> dict[int, str]:
    """The rest of each line by the number that it begins with."""
    where = listing.url(key)
    if key not in listing.keys:
        raise DataError(f"{where}: expected this file, found none", "Copy it from the archive of the images")
    found: dict[int, str] = {}
    for line, text in enumerate(lines_of(where, listing.read(key)), 1):
        match = re.fullmatch(r"([0-9]+)\s+(\S.*)", text)
        if not match or int(match[1]) in found:
            raise DataError(
                f"{where}, line {line}: expected a number of its own and a value, found {text[:60]!r}",
                "Correct it",
            )
        found[int(match[1])] = match[2]
    return found
