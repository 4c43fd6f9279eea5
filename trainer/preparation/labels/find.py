"""Which convention a source follows: the one that is named, or the one that fits."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from trainer.errors import ConfigError, DataError
from trainer.preparation.labels import cifar10, file_names, folders, lists, stanford_cars, uecfood
from trainer.preparation.labels.file_listing import Listing, list_files
from trainer.preparation.labels.formats.tables import SUFFIXES_OF_LISTS
from trainer.preparation.labels.source import LabelledImages, printable


@dataclass(frozen=True)
class _Convention:
    fits: Callable[[Listing], bool]
    read: Callable[[Listing], LabelledImages]
    cropped: Callable[[Listing], LabelledImages] | None = None


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


def find(
    url: str,
    labels: str | None = None,
    *,
    crop: bool = False,
    splits: Mapping[str, str] | None = None,
    one_class: bool = False,
) -> LabelledImages:
    """The labelled images at a folder or an object URL.

    `labels`: one of `NAMES`, or a label list, by its key in the source or its own path or URL; by default
    what fits. `crop`: each image is cut to its box, where the convention has boxes. `splits`: folder of
    class folders -> split. `one_class`: all images may be of one class.
    Raises DataError where nothing fits, or several do, ConfigError for `crop` without boxes.
    """
    listing = list_files(url)
    source = _read(listing, labels, crop, splits)
    if len(source.classes) == 1 and not one_class:
        raise DataError(
            f"{listing.store.url}: expected two classes or more, found one: {printable(source.classes[0])} "
            f"(by {source.labels})",
            "Give the folder that holds a folder for each class, name the labels with --labels, or give "
            "--one-class",
        )
    return source


def _read(
    listing: Listing, labels: str | None, crop: bool, splits: Mapping[str, str] | None
) -> LabelledImages:
    if splits:
        if labels not in (None, folders.NAME) or crop:
            raise ConfigError(
                f"--splits: expected class folders, received --labels {labels}", "Leave out one of the two"
            )
        return folders.read(listing, splits)
    name = labels or _detected(listing)
    convention = _ALL.get(name)
    if crop and (convention is None or convention.cropped is None):
        boxed = ", ".join(name for name, convention in _ALL.items() if convention.cropped)
        raise ConfigError(
            f"--crop: {listing.store.url} has labels of kind {name}, without bounding boxes "
            f"(kinds with: {boxed})",
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
        if fitting[:1] == [folders.NAME] and (len(fitting) > 1 or problem):
            classes = folders.classes_of(listing)
            if len(classes) < 2 or folders.are_no_classes(classes):
                del fitting[0]
    if len(fitting) > 1:
        return _agreed(listing, fitting)
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


def _agreed(listing: Listing, fitting: list[str]) -> str:
    """`folders`, where what the others say follows from it. Raises DataError where it does not."""
    sources = {name: _ALL[name].read(listing) for name in fitting}
    said = {
        name: {item.key: source.classes[item.label] for items in source.splits.values() for item in items}
        for name, source in sources.items()
    }
    first, *others = fitting
    if first == folders.NAME and all(_follows(said[first], said[other]) for other in others):
        return first
    examples = "; ".join(
        f"{key} is {' or '.join(repr(said[name].get(key)) for name in fitting)}"
        for key in _examples(said[first], said[others[-1]])
    )
    raise DataError(
        f"{listing.store.url}: the labels may be of the kinds {', '.join(fitting)}: {examples}",
        f"Choose with --labels {first}, and so on",
    )


def _follows(folder: Mapping[str, str], name: Mapping[str, str]) -> bool:
    """Whether images with one name are in one folder, as cats/cat.1.jpg and dogs/dog.1.jpg."""
    of: dict[str, str] = {}
    return all(of.setdefault(name[key], folder[key]) == folder[key] for key in folder if key in name)


def _examples(one: Mapping[str, str], other: Mapping[str, str]) -> list[str]:
    """Three images, each of another pair of labels where there are as many."""
    pairs: dict[tuple[str, str], str] = {}
    for key in one:
        if key in other:
            pairs.setdefault((one[key], other[key]), key)
    return list(pairs.values())[:3]
