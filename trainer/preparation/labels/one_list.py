"""What one label list says of the images that are there."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from trainer.errors import DataError
from trainer.preparation.labels.file_listing import Listing
from trainer.preparation.labels.formats.parse import parse
from trainer.preparation.labels.formats.rows import LABEL_COLUMN, Columns
from trainer.preparation.labels.formats.text import is_number
from trainer.preparation.labels.lookup import Lookup
from trainer.preparation.labels.numbered import by_number
from trainer.preparation.labels.source import printable
from trainer.preparation.labels.split_folders import CONTAINERS
from trainer.preparation.labels.split_names import split_named, split_of


@dataclass
class Labelled:
    """What one list says of the images that are there: key -> label, and key -> split where it says that.
    `keys` are its files, `column` the head of its labels."""

    keys: tuple[str, ...]
    scope: str
    column: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    splits: dict[str, str] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    repeated: int = 0
    rows: int = 0
    named: bool = False


def read_list(listing: Listing, key: str, data: bytes, scope: str, columns: Columns) -> Labelled:
    """The labels of a list. `key`: its key in the source, or its own path or URL; `scope`: the split of its
    images, "" for all. Raises DataError for a list that does not fit its images."""
    images: Sequence[str] = listing.images
    if scope:
        below = [image for image in images if split_of(image) == scope]
        images = below or images
    lookup = Lookup(images)
    where = listing.url(key) if key in listing.keys else key
    rows = parse(where, data, lookup.find, columns)
    found = Labelled((key,), scope, rows[0].column, rows=len(rows), named=rows[0].name is not None)
    if not found.named:
        found.labels, found.missing = by_number(where, rows, images)
        return found
    lookup = _meant(lookup, key.rpartition("/")[0], [row.name or "" for row in rows])
    missing: dict[str, None] = {}
    for row in rows:
        several = lookup.find(row.name or "")
        if not several:
            missing[row.name or ""] = None
            continue
        if len(several) > 1:
            raise DataError(
                f"{where}, line {row.line}: the label list names {printable(row.name or '')}, which is any "
                f"of {', '.join(several[:3])}",
                "Write the folder before each name",
            )
        image = several[0]
        if found.labels.setdefault(image, row.label) != row.label:
            raise DataError(
                f"{where}, line {row.line}: {image} is {row.label!r} here and {found.labels[image]!r} above",
                "Keep one of the two lines",
            )
        if row.split and found.splits.setdefault(image, row.split) != row.split:
            raise DataError(
                f"{where}, line {row.line}: {image} is for {row.split} here and for {found.splits[image]} "
                "above",
                "Keep one of the two lines",
            )
        found.repeated += 1
    found.repeated -= len(found.labels)
    found.missing = list(missing)
    return found


def _meant(lookup: Lookup, folder: str, names: Sequence[str]) -> Lookup:
    """The images that a list in a folder means where its names are in several folders: those in its own; else
    of the split that has an image for each name or, of several, of the one that has no others."""
    if all(len(lookup.find(name)) < 2 for name in names):
        return lookup
    beside = Lookup(image for image in lookup.images if folder and image.startswith(f"{folder}/"))
    if beside.images and all(len(beside.find(name)) < 2 for name in names):
        return beside
    tops: dict[str, list[str]] = {}
    for image in lookup.images:
        if split := split_of(image):
            tops.setdefault(split, []).append(image)
    parts = [Lookup(images) for images in tops.values()]
    whole = [part for part in parts if all(len(part.find(name)) == 1 for name in names)]
    exact = [part for part in whole if len({part.find(name) for name in names}) == len(part.images)]
    meant = whole if len(whole) == 1 else exact
    return meant[0] if len(meant) == 1 else lookup


def says_the_folders(labelled: Labelled) -> bool | None:
    """Whether labels from a column that is not called label say what folders say that may be classes; None
    where the column is called so, or there are no such folders."""
    if not labelled.column or LABEL_COLUMN.fullmatch(labelled.column):
        return None
    parents = {image: _own_folders(image) for image in labelled.labels}
    names = set(parents.values())
    pairs = {(parents[image], label) for image, label in labelled.labels.items()}
    if len(names) < 2:
        return None
    same = len(pairs) == len({one for one, _ in pairs}) == len({label for _, label in pairs})
    return same and all(is_number(label) or label in folders for folders, label in pairs)


def _own_folders(image: str) -> tuple[str, ...]:
    """The folders of an image that are neither splits nor hold all images."""
    folders = image.split("/")[:-1]
    return tuple(name for name in folders if not split_named(name) and name.lower() not in CONTAINERS)
