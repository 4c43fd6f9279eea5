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
from trainer.preparation.labels.split_folders import are_splits, split_named, split_prefixes

NAME = "folders"
_PLACE = "Put the images of each class into a folder of the class's name"


_CONTAINERS = {"images", "image", "imgs", "img", "jpg", "jpeg", "png", "pictures", "photos", "meta", "labels"}
"""Names of folders that hold all images, or something else, but no class."""


def classes_of(listing: Listing) -> set[str]:
    """The folders that hold images, at the top or below the training folder."""
    prefix = split_prefixes(listing)["train"]
    return {
        key[len(prefix) :].partition("/")[0]
        for key in listing.images
        if key.startswith(prefix) and "/" in key[len(prefix) :]
    }


def are_no_classes(names: Collection[str]) -> bool:
    """Whether all of these are names of splits, or of folders of whatever images."""
    return are_splits(names) or all(split_named(name) or name.lower() in _CONTAINERS for name in names)


def read(listing: Listing, splits: Mapping[str, str] | None = None) -> LabelledImages:
    """The classes are sorted by name, or by value where all names are numbers; `splits` as in `find`.

    Raises DataError for an empty class, for one that has images to validate or to test on but none to train
    on, and where the folders seem to be no classes.
    """
    prefixes = split_prefixes(listing, splits)
    found: dict[str, dict[str, list[str]]] = {
        split: {name: [] for name in listing.below(prefix)} for split, prefix in prefixes.items()
    }
    for key in listing.images:
        for split, prefix in prefixes.items():
            name, slash, _ = key[len(prefix) :].partition("/")
            if key.startswith(prefix) and slash:
                found[split][name].append(key)
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
    _check_depth(listing, prefixes["train"], found["train"])
    label = {name: number for number, name in enumerate(classes)}
    return assemble(
        listing,
        NAME,
        classes,
        {
            split: [LabelledImage(key, label[name]) for name, keys in keys_of.items() for key in keys]
            for split, keys_of in found.items()
        },
    )


def _instead(listing: Listing, place: str) -> str:
    """What lies there, by suffix."""
    names = [key for key in listing.keys if listing.url(key).startswith(f"{place}/")]
    kinds = Counter(PurePosixPath(name).suffix.lower() or "files without a suffix" for name in names)
    counted = [f"{count:,} {kind}" for kind, count in kinds.most_common()]
    return f", but {abbreviate(counted, 3)}" if counted else ""


def _check_depth(listing: Listing, prefix: str, found: dict[str, list[str]]) -> None:
    """One folder whose images are all in folders below it is a folder too high."""
    if len(found) != 1:
        return
    ((name, keys),) = found.items()
    inner = {key[len(prefix) + len(name) + 1 :].rpartition("/")[0].partition("/")[0] for key in keys}
    if len(inner) > 1 and "" not in inner:
        raise DataError(
            f"{listing.url(prefix)}: all images are in one folder, {name}, which holds "
            f"{', '.join(sorted(inner)[:5])}{', …' if len(inner) > 5 else ''}",
            f"To take these for the classes, give {listing.url(prefix + name)}",
        )
