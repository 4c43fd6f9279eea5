"""Oxford Flowers: `jpg/image_00001.jpg` …, with MATLAB's files of their labels and splits.

`imagelabels.mat` has the class of each image, counted from 1, `setid.mat` the images for training (trnid),
validation (valid) and test (tstid).
"""

import re
from collections.abc import Sequence
from typing import Any

from trainer.errors import DataError
from trainer.preparation.labels.file_listing import Listing
from trainer.preparation.labels.formats.matlab import read_variable
from trainer.preparation.labels.list_classes import class_names
from trainer.preparation.labels.source import LabelledImage, LabelledImages, assemble

NAME = "oxford-flowers"
_LABELS, _SPLITS = "imagelabels.mat", "setid.mat"
_VARIABLES = {"train": "trnid", "validation": "valid", "test": "tstid"}
_IMAGE = re.compile(r"image_0*([0-9]+)\.[^.]+")


def plausible(listing: Listing) -> bool:
    return bool(listing.named(_LABELS))


def read(listing: Listing) -> LabelledImages:
    """Without `setid.mat` all images are for training. The classes are called by their numbers, unless a file
    such as classes.txt has names for them. Raises DataError for a file that is damaged, or does not fit."""
    file = _one(listing, _LABELS)
    where = listing.url(file)
    labels = _whole(where, read_variable(where, listing.read(file), "labels").rows, 1)
    images: dict[int, str] = {}
    for key in listing.images:
        if found := _IMAGE.fullmatch(key.rpartition("/")[2]):
            other = images.setdefault(int(found[1]), key)
            if other != key:
                raise DataError(
                    f"{listing.store.url}: {other} and {key} have one number", "Remove one of them"
                )
    read_files = [file]
    numbers: dict[str, Sequence[int]] = {"train": range(1, len(labels) + 1)}
    if listing.named(_SPLITS):
        read_files.append(_one(listing, _SPLITS))
        where = listing.url(read_files[-1])
        data = listing.read(read_files[-1])
        numbers = {
            split: _whole(where, read_variable(where, data, variable).rows, 1, len(labels))
            for split, variable in _VARIABLES.items()
        }
    used = {str(label) for label in labels}
    classes, names, listed = class_names(listing, used, [])
    place = {label: number for number, label in enumerate(classes)}
    return assemble(
        listing,
        NAME,
        names,
        {
            split: [LabelledImage(images[n], place[str(labels[n - 1])]) for n in found if n in images]
            for split, found in numbers.items()
        },
        missing=[f"image_{n:05}.jpg" for found in numbers.values() for n in found if n not in images],
        read=[*read_files, *listed],
    )


def _one(listing: Listing, name: str) -> str:
    found = listing.named(name)
    if len(found) != 1:
        raise DataError(
            f"{listing.store.url}: expected one {name}, found {', '.join(found) or 'none'}",
            "Put it beside the images",
        )
    return found[0]


def _whole(where: str, values: Sequence[Any], low: int, high: int | None = None) -> list[int]:
    for value in values:
        if not isinstance(value, int | float) or value != int(value) or not low <= value <= (high or value):
            raise DataError(
                f"{where}: expected whole numbers from {low}{f' to {high}' if high else ''}, found {value!r}",
                "Download it again",
            )
    return [int(value) for value in values]
