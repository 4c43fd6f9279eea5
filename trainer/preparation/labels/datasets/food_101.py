"""Food-101: `images/CLASS/NUMBER.jpg`, with those of each split in `meta/train.txt` and `meta/test.txt`."""

from trainer.errors import DataError
from trainer.preparation.labels.file_listing import Listing
from trainer.preparation.labels.formats.text import lines_of
from trainer.preparation.labels.source import LabelledImage, LabelledImages, assemble

NAME = "food-101"
_CLASSES, _SPLITS = "meta/classes.txt", {"train": "meta/train.txt", "test": "meta/test.txt"}
_OTHERS = ("meta/labels.txt", "meta/train.json", "meta/test.json")


def plausible(listing: Listing) -> bool:
    return any(
        _prefix(key) is not None for key in listing.keys if f"{_prefix(key)}{_CLASSES}" in listing.keys
    )


def read(listing: Listing) -> LabelledImages:
    """The classes are in the order of `meta/classes.txt`. Raises DataError for one that it does not name."""
    prefix = next((found for key in listing.keys if (found := _prefix(key)) is not None), None)
    if prefix is None or prefix + _CLASSES not in listing.keys:
        raise DataError(
            f"{listing.store.url}: expected {_SPLITS['train']} and {_CLASSES}, found none",
            "Give the folder that holds them",
        )
    names = lines_of(listing.url(prefix + _CLASSES), listing.read(prefix + _CLASSES))
    label = {name: number for number, name in enumerate(names)}
    there = {image.rpartition(".")[0]: image for image in listing.images}
    splits: dict[str, list[LabelledImage]] = {}
    missing = []
    files = {split: prefix + file for split, file in _SPLITS.items() if prefix + file in listing.keys}
    for split, file in files.items():
        where = listing.url(file)
        for line, text in enumerate(lines_of(where, listing.read(file)), 1):
            if text.partition("/")[0] not in label:
                raise DataError(
                    f"{where}, line {line}: expected an image of a class of {_CLASSES}, found {text[:60]!r}",
                    "Take the files of one archive",
                )
            key = there.get(f"{prefix}images/{text}")
            if key:
                splits.setdefault(split, []).append(LabelledImage(key, label[text.partition("/")[0]]))
            else:
                missing.append(text)
    used = [*files.values(), prefix + _CLASSES, *(prefix + file for file in _OTHERS)]
    return assemble(listing, NAME, names, splits, missing=missing, read=used)


def _prefix(key: str) -> str | None:
    """What lies before `meta/train.txt`."""
    whole = f"/{key}"
    return whole.removesuffix(_SPLITS["train"])[1:] if whole.endswith(f"/{_SPLITS['train']}") else None
