"""A folder for each class, `ROOT/CLASS/*.jpg`, at the root or below `train`, `validation` and `test`.

Images in folders of a class's folder are the class's too, as in Keras's `image_dataset_from_directory`.
"""

from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import PurePosixPath

from trainer.errors import DataError
from trainer.images.codec import SUFFIXES
from trainer.output.units import abbreviate
from trainer.preparation.labels.file_listing import Listing, in_order
from trainer.preparation.labels.source import LabelledImage, LabelledImages, assemble
from trainer.preparation.labels.split_folders import CONTAINERS, are_splits, split_prefixes
from trainer.preparation.labels.split_names import split_named

NAME = "folders"
_PLACE = "Put the images of each class into a folder of the class's name"


_NOT_CLASSES = {"background_google", "unlabelled", "unlabeled"}
"""Beside class folders these hold images of no class: of Caltech-101 what a search gave for anything."""


def classes_of(listing: Listing) -> set[str]:
    """The folders that hold images, at the top or below the training folder."""
    prefix = split_prefixes(listing)["train"]
    return {
        key[len(prefix) :].partition("/")[0]
        for key in listing.images
        if key.startswith(prefix) and "/" in key[len(prefix) :]
    } - {name for name in listing.below(prefix) if name.lower() in _NOT_CLASSES}


def are_no_classes(names: Collection[str]) -> bool:
    """Whether all of these are names of splits, or of folders of whatever images."""
    return are_splits(names) or all(split_named(name) or name.lower() in CONTAINERS for name in names)


def same_below(listing: Listing) -> list[str]:
    """The folders below those that seem to be classes, where all have some of the same, as train/ and test/
    of any name have."""
    prefix = split_prefixes(listing)["train"]
    below = [set(listing.below(f"{prefix}{name}/")) for name in sorted(classes_of(listing))]
    below = [names for names in below if names]
    every = set().union(*below)
    return sorted(every) if len(below) > 1 and len(every) > 1 and set.intersection(*below) else []


def read(listing: Listing, splits: Mapping[str, str] | None = None) -> LabelledImages:
    """The classes are sorted by name, or by value where all names are numbers; `splits` as in `find`.

    Raises DataError for an empty class, for one that has images to validate or to test on but none to train
    on, and where the folders seem to be no classes.
    """
    prefixes = split_prefixes(listing, splits)
    found: dict[str, dict[str, list[str]]] = {
        split: {name: [] for name in listing.below(prefix) if name.lower() not in _NOT_CLASSES}
        for split, prefix in prefixes.items()
    }
    left_out = sorted(
        {name for prefix in prefixes.values() for name in listing.below(prefix)}
        - {name for names in found.values() for name in names}
    )
    for key in listing.images:
        for split, prefix in prefixes.items():
            name, slash, _ = key[len(prefix) :].partition("/")
            if key.startswith(prefix) and slash:
                found[split].get(name, []).append(key)
                break
    where = listing.store.url
    classes = in_order(found["train"])
    if not classes:
        raise DataError(f"{listing.url(prefixes['train'])}: expected class folders, found none", _PLACE)
    if are_no_classes(classes):
        raise DataError(
            f"{where}: {', '.join(classes)}: expected class folders in these, found images",
            f"{_PLACE}, or name the labels with --labels",
        )
    for split, keys_of in found.items():
        for name, keys in keys_of.items():
            place = f"{where}/{prefixes[split]}{name}"
            if not keys:
                raise DataError(
                    f"{place}: the class has no images ({', '.join(SUFFIXES)}){_instead(listing, place)}",
                    "Add images, or remove the folder",
                )
            if name not in found["train"]:
                raise DataError(
                    f"{place}: the class {name!r} has no training images",
                    f"Add the folder {prefixes['train']}{name}, or remove the folder",
                )
    if not splits:
        check_depth(listing)
    label = {name: number for number, name in enumerate(classes)}
    return assemble(
        listing,
        NAME,
        classes,
        {
            split: [LabelledImage(key, label[name]) for name, keys in keys_of.items() for key in keys]
            for split, keys_of in found.items()
        },
        warnings=[f"left out, not classes: {', '.join(left_out)}"] if left_out else [],
    )


def _instead(listing: Listing, place: str) -> str:
    """What lies there, by suffix."""
    names = [key for key in listing.keys if listing.url(key).startswith(f"{place}/")]
    kinds = Counter(PurePosixPath(name).suffix.lower() or "files without a suffix" for name in names)
    counted = [f"{count:,} {kind}" for kind, count in kinds.most_common()]
    return f", but {abbreviate(counted, 3)}" if counted else ""


def check_depth(listing: Listing) -> None:
    """Raises DataError for one folder whose images are all in folders below it: it is a folder too high."""
    prefix = split_prefixes(listing)["train"]
    names = classes_of(listing)
    if len(names) != 1:
        return
    (name,) = names
    place = f"{prefix}{name}/"
    keys = [key[len(place) :] for key in listing.images if key.startswith(place)]
    inner = {key.rpartition("/")[0].partition("/")[0] for key in keys}
    if len(inner) > 1 and "" not in inner:
        raise DataError(
            f"{listing.url(prefix)}: all images are in one folder, {name}, which holds "
            f"{abbreviate(sorted(inner), 5)}",
            f"To take these for the classes, give {listing.url(place[:-1])}",
        )
