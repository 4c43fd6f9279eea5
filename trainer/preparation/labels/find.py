"""Which convention a source follows: the one that is named, or the one that fits."""

from collections.abc import Callable
from dataclasses import dataclass

from trainer.errors import ConfigError, DataError
from trainer.preparation.labels import cifar10, file_names, folders, lists, stanford_cars, uecfood
from trainer.preparation.labels.formats.tables import SUFFIXES_OF_LISTS
from trainer.preparation.labels.listing import SPLITS, Listing, list_files
from trainer.preparation.labels.source import Source


@dataclass(frozen=True)
class _Convention:
    fits: Callable[[Listing], bool]
    read: Callable[[Listing], Source]
    cropped: Callable[[Listing], Source] | None = None


_OWN = {
    stanford_cars.NAME: _Convention(
        stanford_cars.plausible,
        stanford_cars.read,
        lambda listing: stanford_cars.read(listing, crop=True),
    ),
    uecfood.NAME: _Convention(
        uecfood.plausible, uecfood.read, lambda listing: uecfood.read(listing, crop=True)
    ),
    cifar10.NAME: _Convention(cifar10.plausible, cifar10.read),
}
"""Files that one dataset alone has: where they are, nothing else is looked for."""
_GENERAL = {
    folders.NAME: _Convention(lambda listing: bool(folders.classes_of(listing)), folders.read),
    lists.NAME: _Convention(lambda listing: bool(lists.plausible(listing)), lists.read),
    **{
        kind: _Convention(
            lambda listing, kind=kind: file_names.plausible(listing, kind),  # type: ignore[misc]
            lambda listing, kind=kind: file_names.read(listing, kind),  # type: ignore[misc]
        )
        for kind in (file_names.PREFIX, file_names.SUFFIX)
    },
}
_ALL = _GENERAL | _OWN
NAMES = tuple(_ALL)
"""The conventions, as `find` takes their names."""


def find(url: str, labels: str | None = None, *, crop: bool = False) -> Source:
    """The labelled images at a folder or an object URL.

    `labels`: one of `NAMES`, or a label list, by its key in the source or its own path or URL; by default
    what fits. `crop`: each image is cut to its box, where the convention has boxes.
    Raises DataError where nothing fits, or several do, ConfigError for `crop` without boxes.
    """
    listing = list_files(url)
    name = labels or _detected(listing)
    convention = _ALL.get(name)
    if crop and (convention is None or convention.cropped is None):
        boxed = ", ".join(name for name, convention in _ALL.items() if convention.cropped)
        raise ConfigError(
            f"--crop: {listing.store.url} has labels of the kind {name}, without boxes (these have: {boxed})",
            "Leave out --crop",
        )
    if convention is None:
        if not name.lower().endswith(SUFFIXES_OF_LISTS):
            raise ConfigError(
                f"--labels: expected {', '.join(NAMES)} or a label list ({', '.join(SUFFIXES_OF_LISTS)}), "
                f"received {name!r}"
            )
        return lists.read(listing, name)
    return convention.cropped(listing) if crop and convention.cropped else convention.read(listing)


def _detected(listing: Listing) -> str:
    fitting = [name for name, convention in _OWN.items() if convention.fits(listing)]
    problem: DataError | None = None
    if not fitting:
        for name, convention in _GENERAL.items():
            try:
                fits = convention.fits(listing)
            except DataError as error:
                problem, fits = error, False
            if fits:
                fitting.append(name)
        # A folder that holds all the images, or those of a split, is no class, where there is another way.
        if len(fitting) > 1 and fitting[0] == folders.NAME:
            classes = folders.classes_of(listing)
            if len(classes) < 2 or classes <= SPLITS.keys():
                del fitting[0]
    if len(fitting) > 1:
        raise DataError(
            f"{listing.store.url}: the labels may be of the kinds {', '.join(fitting)}",
            f"Choose with --labels {fitting[0]}, and so on",
        )
    if fitting:
        return fitting[0]
    if problem:
        raise problem
    if not listing.images and listing.folders:
        return folders.NAME  # which says what is missing
    raise DataError(
        f"{listing.store.url}: found no labels: no class folders (CLASS/*.jpg), no label list "
        f"({', '.join(SUFFIXES_OF_LISTS)}) for the images, no {stanford_cars.TRAIN}, "
        f"{uecfood.CATEGORIES} or data_batch_1, no class in all files' names",
        "Put the images of each class into a folder of the class's name, or see --labels",
    )
