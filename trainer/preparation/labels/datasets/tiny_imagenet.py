"""Tiny ImageNet: `train/CLASS/images/*.JPEG`, and `val/images/` with `val/val_annotations.txt`."""

from trainer.errors import DataError
from trainer.preparation.labels.file_listing import Listing, in_order
from trainer.preparation.labels.formats.text import lines_of
from trainer.preparation.labels.source import LabelledImage, LabelledImages, assemble

NAME = "tiny-imagenet"
_ANNOTATIONS = "val/val_annotations.txt"


def plausible(listing: Listing) -> bool:
    return any(
        f"{key.removesuffix(_ANNOTATIONS)}train" in listing.folders
        for key in listing.keys
        if f"/{key}".endswith(f"/{_ANNOTATIONS}")
    )


def read(listing: Listing) -> LabelledImages:
    """The images of `test/` have no labels. Raises DataError for a class that has no folder in `train/`."""
    file = next((key for key in listing.keys if f"/{key}".endswith(f"/{_ANNOTATIONS}")), None)
    if file is None:
        raise DataError(
            f"{listing.store.url}: expected {_ANNOTATIONS}, found none", "Give the folder that holds it"
        )
    prefix = file.removesuffix(_ANNOTATIONS)
    where = listing.url(file)
    classes = in_order(listing.below(f"{prefix}train/"))
    label = {name: number for number, name in enumerate(classes)}
    train = [
        LabelledImage(key, label[key[len(prefix) :].split("/")[1]])
        for key in listing.images
        if key.startswith(f"{prefix}train/") and key[len(prefix) :].count("/") > 1
    ]
    there = {key.rpartition("/")[2]: key for key in listing.images if key.startswith(f"{prefix}val/")}
    validation: dict[str, int] = {}
    missing = []
    for line, text in enumerate(lines_of(where, listing.read(file)), 1):
        name, *values = text.split("\t")
        if not values or values[0] not in label or validation.get(name, label[values[0]]) != label[values[0]]:
            raise DataError(
                f"{where}, line {line}: expected an image, a tab and one of the classes in train/, found "
                f"{text[:60]!r}",
                "Take the files of one archive",
            )
        if name in there:
            validation[name] = label[values[0]]
        else:
            missing.append(name)
    splits = {
        "train": train,
        "validation": [LabelledImage(there[name], number) for name, number in validation.items()],
    }
    return assemble(listing, NAME, classes, splits, missing=missing, read=[file])
