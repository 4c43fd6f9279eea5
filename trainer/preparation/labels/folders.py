"""A folder for each class, `ROOT/CLASS/*.jpg`, at the root or below `train`, `validation` and `test`.

Images in folders of a class's folder are the class's too, as in Keras's `image_dataset_from_directory`.
"""

from collections import Counter

from trainer.errors import DataError
from trainer.images.codec import SUFFIXES
from trainer.preparation.labels.listing import SPLITS, Listing, in_order
from trainer.preparation.labels.source import Item, Source, assemble

NAME = "folders"
_PLACE = "Put the images of each class into a folder of the class's name"


def classes_of(listing: Listing) -> set[str]:
    """The top folders that hold images; of a source with a `train` folder those below it."""
    prefix = "train/" if _has_splits(listing) else ""
    return {
        key[len(prefix) :].partition("/")[0]
        for key in listing.images
        if key.startswith(prefix) and "/" in key[len(prefix) :]
    }


def read(listing: Listing) -> Source:
    """The classes are sorted by name, or by value where all names are numbers.

    Raises DataError for an empty class, for one that has images to validate or to test on but none to train
    on, and where the folders seem to be no classes.
    """
    prefixes = _split_folders(listing)
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
    if set(classes) <= SPLITS.keys():
        raise DataError(
            f"{where}: {', '.join(classes)}: expected class folders in these, found images",
            f"{_PLACE}, or name the labels with --labels",
        )
    for split, keys_of in found.items():
        for name, keys in keys_of.items():
            place = f"{where}/{prefixes[split]}{name}"
            if not keys:
                raise DataError(
                    f"{place}: the class has no images ({', '.join(SUFFIXES)})",
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
            split: [Item(key, label[name]) for name, keys in keys_of.items() for key in keys]
            for split, keys_of in found.items()
        },
    )


def _has_splits(listing: Listing) -> bool:
    # A class may be called train: then no folders are in it.
    return bool(listing.below("train/"))


def _split_folders(listing: Listing) -> dict[str, str]:
    """Split -> its folder's prefix; a source without a `train` folder is all training images."""
    if not _has_splits(listing):
        return {"train": ""}
    top = listing.below("")
    counts = Counter(SPLITS[name] for name in top if name in SPLITS)
    if max(counts.values()) > 1 or any(name not in SPLITS for name in top):
        raise DataError(
            f"{listing.store.url}: expected train, validation (or valid, or val) and test, found "
            f"{', '.join(top)}",
            "Rename or remove the others",
        )
    return {SPLITS[name]: f"{name}/" for name in top}


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
