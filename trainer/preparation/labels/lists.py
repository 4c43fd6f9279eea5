"""Images with a label list: text, CSV or JSON, which names them or counts them.

One list labels all images, or one each those of `train`, `validation` and `test`: a list in such a folder, or
one whose name begins so, as `train_labels.csv`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from trainer.errors import DataError
from trainer.output.units import abbreviate
from trainer.preparation.labels.file_listing import Listing
from trainer.preparation.labels.formats.rows import (
    NO_COLUMNS,
    SUFFIXES_OF_LISTS,
    Columns,
    NoLabels,
    UnclearTable,
)
from trainer.preparation.labels.list_classes import FILES_OF_NAMES, class_names
from trainer.preparation.labels.lookup import Lookup
from trainer.preparation.labels.one_list import Labelled, read_list, says_the_folders
from trainer.preparation.labels.source import LabelledImage, LabelledImages, assemble, printable
from trainer.preparation.labels.split_folders import by_split
from trainer.preparation.labels.split_names import split_named, words_of
from trainer.storage import open_store, split_url

NAME = "list"
_PROSE = frozenset({"readme", "license", "licence", "copying", "requirements", "changelog"})
_NO_LABELS = frozenset({"submission", "submit", "boxes", "captions"})
"""Words in the names of files that have no labels, or made-up ones, as Kaggle's sample_submission.csv."""
_MOST_CANDIDATES = 50
_MANY_CLASSES = 20
_SAMPLE_BYTES = 64 << 10


class ProblemOfImages(DataError):
    """A list that names images, and cannot be read."""


def plausible(listing: Listing, columns: Columns = NO_COLUMNS) -> dict[str, list[Labelled]]:
    """Split ("" for all images) -> what its label lists say: of more than one where it is not clear which.

    Raises the DataError of a file that seems to be a list, where no other is.
    """
    found: dict[str, list[Labelled]] = {}
    problem: DataError | None = None
    candidates = [key for key in listing.keys if _may_be_a_list(key)]
    for key in sorted(candidates, key=lambda key: (key.count("/"), key))[:_MOST_CANDIDATES]:
        scope = _scope(key)
        try:
            labelled = read_list(listing, key, listing.read(key), scope, columns)
        except NoLabels:
            continue
        except DataError as error:
            problem = problem or _explained(listing, key, error)
            continue
        by_folder = says_the_folders(labelled) if columns == NO_COLUMNS else None
        if by_folder:
            continue
        if by_folder is False:
            problem = problem or ProblemOfImages(
                f"{listing.url(key)}: the column {labelled.column} may be the label, but says something else "
                "than the folders",
                f"Choose --label-column {labelled.column}",
            )
            continue
        classes = len(set(labelled.labels.values()))
        if classes > _MANY_CLASSES and classes * 2 > labelled.rows:
            problem = problem or DataError(
                f"{listing.url(key)}: has {classes} labels for {labelled.rows} images, such as "
                f"{printable(next(iter(labelled.labels.values())))[:60]}: these seem to be no classes",
                f"Name the labels with --labels {key}, or --label-column",
            )
        elif labelled.labels and (labelled.named or classes * 2 <= labelled.rows):
            found.setdefault(scope, []).append(labelled)
        elif labelled.rows == len(listing.images) > 2:
            problem = problem or ProblemOfImages(
                f"{listing.url(key)}: has a line for each image, and all are different",
                "Write a table (.csv) with the heads filename and label",
            )
    if not found and problem:
        raise problem
    if len(found) == 1 and not found.keys() & {"", "train"} and not _in_split_folders(listing):
        (several,) = found.values()  # the folder of a split is the source
        found = {"": [replace(labelled, scope="") for labelled in several]}
    if "" in found and len(found) > 1:  # one for all beside those of the splits
        found = {"": [labelled for several in found.values() for labelled in several]}
    return {scope: _merged(listing, several) for scope, several in found.items()}


def read(listing: Listing, file: str | None = None, columns: Columns = NO_COLUMNS) -> LabelledImages:
    """The images that a list labels. `file`: the list, by its key in the source, or its own path or URL.

    Raises DataError for a list that does not fit its images, and where it is not clear which file it is.
    """
    if file is not None:
        return _assembled(listing, [read_list(listing, file, _contents(listing, file), "", columns)])
    found = plausible(listing, columns)
    if not found:
        raise DataError(
            f"{listing.store.url}: expected a label list ({', '.join(SUFFIXES_OF_LISTS)}), found none for "
            "these images",
            "Name the file with --labels",
        )
    for several in found.values():
        if len(several) > 1:
            names = [key for labelled in several for key in labelled.keys]
            raise DataError(
                f"{listing.store.url}: more than one file may be the label list: {abbreviate(names, 5)}",
                "Name it with --labels",
            )
    lists = [several[0] for several in found.values()]
    columns_of = {labelled.column: labelled.keys[0] for labelled in lists if labelled.column}
    if len(columns_of) > 1:
        said = " and ".join(f"{column} in {key}" for column, key in columns_of.items())
        raise DataError(
            f"{listing.store.url}: expected one column of labels, found {said}",
            "Name it with --label-column, or one of the files with --labels",
        )
    return _assembled(listing, lists)


def _explained(listing: Listing, key: str, error: DataError) -> DataError:
    """The error of a list that seems to name images, as such."""
    if isinstance(error, UnclearTable):
        return error
    lookup = Lookup(listing.images)
    lines = [line for line in listing.read(key)[:_SAMPLE_BYTES].decode(errors="replace").split("\n") if line]
    naming = sum(_names_an_image(line.strip(), lookup) for line in lines)
    repeated = len(set(lines)) * 2 <= len(lines) and len(lines) * 2 >= len(listing.images)
    counting = len(lines) > 2 and (repeated or abs(len(lines) - len(listing.images)) < 2)
    return ProblemOfImages(error.problem, error.remedy) if counting or naming * 2 > len(lines) else error


def _names_an_image(line: str, lookup: Lookup) -> bool:
    """Whether a line holds an image's name: one value of several, or its beginning, or its end."""
    ends = [found.start() for found in re.finditer(r"\s", line)]
    parts = [
        *re.split(r"""[\s,;|"':]+""", line),
        *(line[:end] for end in ends),
        *(line[end:] for end in ends),
    ]
    return any(lookup.find(part.strip()) for part in parts)


def _may_be_a_list(key: str) -> bool:
    name = key.rpartition("/")[2]
    stem = name.lower().rpartition(".")[0]
    return (
        name.lower().endswith(SUFFIXES_OF_LISTS)
        and stem not in FILES_OF_NAMES
        and stem not in _PROSE
        and _NO_LABELS.isdisjoint(words_of(name))
    )


def _in_split_folders(listing: Listing) -> bool:
    return any(split_named(name) for name in listing.below(""))


def _scope(key: str) -> str:
    folder, _, name = key.rpartition("/")
    top = folder.partition("/")[0]
    first = re.split("[^a-z]", re.sub("([a-z])([A-Z])", r"\1 \2", name).lower())[0]
    return split_named(top) or split_named(first) or ""


def _contents(listing: Listing, file: str) -> bytes:
    if file in listing.keys:
        return listing.read(file)
    url, key = split_url(file)
    try:
        return open_store(url).get(key)
    except FileNotFoundError as error:
        raise DataError(
            f"--labels {file}: neither a kind of labels nor a file in {listing.store.url} or at that path",
            "Name a kind (trainer prepare --help lists them), or a label list",
        ) from error


def _merged(listing: Listing, several: list[Labelled]) -> list[Labelled]:
    """One for lists of the same columns that lie in different folders, each beside images of its own."""
    folders = {labelled.keys[0].rpartition("/")[0] for labelled in several}
    own = all(
        image.startswith(f"{labelled.keys[0].rpartition('/')[0]}/")
        for labelled in several
        for image in labelled.labels
    )
    if len(several) < 2 or len(folders) < len(several) or "" in folders or not own:
        return several
    if len({listing.read(labelled.keys[0]).partition(b"\n")[0] for labelled in several}) > 1:
        return several
    one = Labelled(
        tuple(labelled.keys[0] for labelled in several),
        several[0].scope,
        several[0].column,
        {image: label for labelled in several for image, label in labelled.labels.items()},
        {image: split for labelled in several for image, split in labelled.splits.items()},
        [name for labelled in several for name in labelled.missing],
        sum(labelled.repeated for labelled in several),
        sum(labelled.rows for labelled in several),
        True,
    )
    return [one]


def _assembled(listing: Listing, lists: Sequence[Labelled]) -> LabelledImages:
    splits: dict[str, dict[str, str]] = {}
    for labelled in lists:
        for split, images in _divided(listing, labelled).items():
            splits.setdefault(split, {}).update((image, labelled.labels[image]) for image in images)
    keys = [key for labelled in lists for key in labelled.keys]
    used = {label for labels in splits.values() for label in labels.values()}
    classes, names, listed = class_names(listing, used, keys)
    number = {label: place for place, label in enumerate(classes)}
    repeated = sum(labelled.repeated for labelled in lists)
    return assemble(
        listing,
        NAME,
        names,
        {
            split: [LabelledImage(image, number[label]) for image, label in labels.items()]
            for split, labels in splits.items()
        },
        missing=[name for labelled in lists for name in labelled.missing],
        read=[*keys, *listed],
        warnings=[f"{repeated} images are in the list more than once"] if repeated else [],
    )


def _divided(listing: Listing, labelled: Labelled) -> Mapping[str, Sequence[str]]:
    """Split -> its images: as the list says, else all are of its split, else by their folders."""
    if labelled.splits:
        found: dict[str, list[str]] = {}
        for image in labelled.labels:
            found.setdefault(labelled.splits[image], []).append(image)
        return found
    return {labelled.scope: list(labelled.labels)} if labelled.scope else by_split(listing, labelled.labels)
