"""Which convention a source follows: the one that is named, or the one that fits."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from trainer.errors import ConfigError, DataError
from trainer.output.units import abbreviate
from trainer.preparation.labels import file_names, folders, lists
from trainer.preparation.labels.datasets import (
    cifar10,
    cub_200,
    food_101,
    oxford_flowers,
    stanford_cars,
    tiny_imagenet,
    uecfood,
)
from trainer.preparation.labels.file_listing import Listing, list_files
from trainer.preparation.labels.formats.rows import NO_COLUMNS, SUFFIXES_OF_LISTS, Columns, UnclearTable
from trainer.preparation.labels.lookup import Lookup
from trainer.preparation.labels.selection import take_classes
from trainer.preparation.labels.source import LabelledImages, printable
from trainer.preparation.labels.split_names import split_named


@dataclass(frozen=True)
class _Convention:
    fits: Callable[[Listing], bool]
    read: Callable[[Listing], LabelledImages]
    cropped: Callable[[Listing], LabelledImages] | None = None


_OWN: dict[str, _Convention] = {
    stanford_cars.NAME: _Convention(
        stanford_cars.plausible,
        stanford_cars.read,
        lambda listing: stanford_cars.read(listing, crop=True),
    ),
    uecfood.NAME: _Convention(
        uecfood.plausible, uecfood.read, lambda listing: uecfood.read(listing, crop=True)
    ),
    **{
        module.NAME: _Convention(module.plausible, module.read)
        for module in (cifar10, cub_200, food_101, oxford_flowers, tiny_imagenet)
    },
}
"""Files that one dataset alone has: where they are, nothing else is looked for."""
_GENERAL: dict[str, _Convention] = {
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
    classes: Sequence[str] | None = None,
    columns: Columns = NO_COLUMNS,
) -> LabelledImages:
    """The labelled images at a folder or an object URL.

    `labels`: one of `NAMES`, or a label list, by its key in the source or its own path or URL; by default
    what fits. `crop`: each image is cut to its box, where the convention has boxes. `splits`: folder of
    class folders -> split. `one_class`: all images may be of one class. `classes`: those to take, in their
    order; by default all. `columns`: those of a label table that are not known by their names.
    Raises DataError where nothing fits, or several do, ConfigError for `crop` without boxes.
    """
    listing = list_files(url)
    if columns != NO_COLUMNS and (splits or labels in _ALL.keys() - {lists.NAME}):
        raise ConfigError(
            "--image-column, --label-column: expected a label table, received --labels "
            f"{labels or folders.NAME}",
            "Leave them out, or name the table with --labels",
        )
    if columns != NO_COLUMNS and labels is None:
        labels = lists.NAME
    source = _read(listing, labels, crop, splits, columns)
    if classes is not None:
        source = take_classes(source, classes)
    if len(source.classes) == 1 and not one_class:
        raise DataError(
            f"{listing.store.url}: expected two classes or more, found one: {printable(source.classes[0])} "
            f"(by {source.labels})",
            "Give the folder that holds a folder for each class, name the labels with --labels, or give "
            "--one-class",
        )
    return source


def _read(
    listing: Listing, labels: str | None, crop: bool, splits: Mapping[str, str] | None, columns: Columns
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
        return lists.read(listing, name, columns)
    if name == lists.NAME:
        return lists.read(listing, columns=columns)
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
                if lists.NAME not in fitting:
                    folders.check_depth(listing)
    if fitting and isinstance(problem, UnclearTable | lists.ProblemOfImages) and lists.NAME not in fitting:
        _check_confirmed(listing, problem, fitting[0])
    if fitting[:1] == [folders.NAME] and (same := folders.same_below(listing)):
        tops = sorted(folders.classes_of(listing))
        raise DataError(
            f"{listing.store.url}: {abbreviate(tops, 5)} may be the classes, or splits of the classes "
            f"{abbreviate(same, 5)}, which each of them has",
            f"Choose --labels {folders.NAME}, or say which are splits, as in --splits {tops[0]}=train",
        )
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


def _check_confirmed(listing: Listing, problem: DataError, name: str) -> None:
    """Raises the problem of a list that names images, where no column of it says what the convention `name`
    says."""
    names, others = (problem.names, problem.others) if isinstance(problem, UnclearTable) else ((), ())
    if isinstance(problem, UnclearTable) and not names and not problem.names_images:
        return
    source = _ALL[name].read(listing)
    folder = {item.key: source.classes[item.label] for items in source.splits.values() for item in items}
    found = [lookup.find(name) for lookup in [Lookup(listing.images)] for name in names]
    divided = any(len(set(column)) > 1 and all(map(split_named, column)) for column in others)
    for column in [] if divided else others:
        value = {keys[0]: text for keys, text in zip(found, column, strict=True) if len(keys) == 1}
        if value and _follows(folder, value) and _follows(value, folder):
            return
    raise type(problem)(problem.problem, f"{problem.remedy}, or choose --labels {name}")


def _agreed(listing: Listing, fitting: list[str]) -> str:
    """`folders`, where what the others say follows from it. Raises DataError where it does not."""
    sources = {name: _ALL[name].read(listing) for name in fitting}
    said = {
        name: {item.key: source.classes[item.label] for items in source.splits.values() for item in items}
        for name, source in sources.items()
    }
    first, *others = fitting
    if first == folders.NAME and all(_follows(said[first], said[other]) for other in others):
        listed = said.get(lists.NAME, {})
        whole = listed.keys() == said[first].keys()
        if not listed or all(said[first].get(key) == label for key, label in listed.items()):
            return first
        if whole and _follows(listed, said[first]):
            return lists.NAME
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
