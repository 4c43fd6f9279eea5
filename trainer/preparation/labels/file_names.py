"""The class in each file's name: before its number, as `cat.0.jpg`, or behind it, as `0001_tench.jpg`."""

import re

from trainer.errors import DataError
from trainer.preparation.labels.file_listing import Listing, in_order
from trainer.preparation.labels.source import LabelledImage, LabelledImages, assemble
from trainer.preparation.labels.split_folders import by_split

PREFIX, SUFFIX = "prefix", "suffix"
_PATTERNS = {
    PREFIX: re.compile(r"(.*?[^0-9._\- ()]\)?)[._\- (]*[0-9]+\)?"),
    SUFFIX: re.compile(r".*?[0-9][._\- ]+([^0-9._\- ].*)"),
}


def plausible(listing: Listing, kind: str) -> bool:
    """Whether all names fit, with some images for each of several classes."""
    labels = [_label(key, kind) for key in listing.images]
    return bool(labels) and None not in labels and 2 <= len(set(labels)) <= len(labels) / 2


def read(listing: Listing, kind: str) -> LabelledImages:
    """Images whose names do not fit are left out. Raises DataError where none fits."""
    labels = {key: label for key in listing.images if (label := _label(key, kind)) is not None}
    if not labels:
        example = "cat.0.jpg" if kind == PREFIX else "0001_cat.jpg"
        raise DataError(
            f"{listing.store.url}: expected images with names like {example}, found none",
            "Choose another kind of labels, see trainer prepare --help",
        )
    classes = in_order(set(labels.values()))
    number = {label: place for place, label in enumerate(classes)}
    return assemble(
        listing,
        kind,
        classes,
        {
            split: [LabelledImage(key, number[labels[key]]) for key in keys]
            for split, keys in by_split(listing, labels).items()
        },
    )


def _label(key: str, kind: str) -> str | None:
    found = _PATTERNS[kind].fullmatch(key.rpartition("/")[2].rpartition(".")[0])
    return found[1] if found else None
