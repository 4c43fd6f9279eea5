"""Images with a label list: text, CSV or JSON, which names them or counts them.

One list labels all images, or one each those of `train`, `validation` and `test`: a list in such a folder, or
one whose name begins so, as `train_labels.csv`.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from trainer.errors import DataError
from trainer.images.files import has_image_suffix
from trainer.preparation.labels.file_listing import Listing, in_order
from trainer.preparation.labels.formats.tables import SUFFIXES_OF_LISTS, Row, class_list, parse
from trainer.preparation.labels.source import LabelledImage, LabelledImages, assemble, printable
from trainer.preparation.labels.split_folders import by_split, split_named
from trainer.storage import open_store, split_url

NAME = "list"
_CLASSES = frozenset({"classes", "class_names", "label_names", "categories", "names"})
_PROSE = frozenset({"readme", "license", "licence", "copying", "requirements", "changelog"})
_MOST_CANDIDATES = 50


def plausible(listing: Listing) -> dict[str, list[str]]:
    """Split ("" for all images) -> the files that are its label list: more than one where it is not clear.

    Raises the DataError of a file that seems to be a list, where no other is.
    """
    found: dict[str, list[str]] = {}
    problem: DataError | None = None
    candidates = [key for key in listing.keys if _may_be_a_list(key)]
    for key in sorted(candidates, key=lambda key: (key.count("/"), key))[:_MOST_CANDIDATES]:
        scope = _scope(key)
        try:
            labelled = _labelled(listing, key, listing.read(key), scope)
        except DataError as error:
            problem = problem or error
            continue
        if labelled.labels and (labelled.named or len(set(labelled.labels.values())) * 2 <= labelled.rows):
            found.setdefault(scope, []).append(key)
    if not found and problem:
        raise problem
    if len(found) == 1 and not found.keys() & {"", "train"} and not _in_split_folders(listing):
        return {"": next(iter(found.values()))}  # the folder of a split is the source
    if "" in found and len(found) > 1:  # one for all beside those of the splits
        found = {"": [key for keys in found.values() for key in keys]}
    return found


def read(listing: Listing, file: str | None = None) -> LabelledImages:
    """The images that a list labels. `file`: the list, by its key in the source, or its own path or URL.

    Raises DataError for a list that does not fit its images, and where it is not clear which file it is.
    """
    if file is not None:
        return _assembled(listing, {"": (file, _contents(listing, file))})
    found = plausible(listing)
    if not found:
        raise DataError(
            f"{listing.store.url}: expected a label list ({', '.join(SUFFIXES_OF_LISTS)}), found none for "
            "these images",
            "Name the file with --labels",
        )
    for keys in found.values():
        if len(keys) > 1:
            raise DataError(
                f"{listing.store.url}: more than one file may be the label list: {', '.join(keys[:5])}",
                "Name it with --labels",
            )
    return _assembled(listing, {scope: (keys[0], listing.read(keys[0])) for scope, keys in found.items()})


def _may_be_a_list(key: str) -> bool:
    name = key.rpartition("/")[2].lower()
    stem = name.rpartition(".")[0]
    return name.endswith(SUFFIXES_OF_LISTS) and stem not in _CLASSES and stem not in _PROSE


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


@dataclass
class _Labelled:
    """What one list says of the images that are there: key -> label."""

    labels: dict[str, str] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    repeated: int = 0
    rows: int = 0
    named: bool = False


def _labelled(listing: Listing, key: str, data: bytes, scope: str) -> _Labelled:
    images: Sequence[str] = listing.images
    if scope:
        below = [image for image in images if split_named(image.partition("/")[0]) == scope]
        images = below or images
    lookup = _Lookup(images)
    where = listing.url(key) if key in listing.keys else key
    rows = parse(where, data, lambda name: lookup.find(name) is not None)
    found = _Labelled(rows=len(rows), named=rows[0].name is not None)
    if not found.named:
        found.labels, found.missing = _by_number(where, rows, images)
        return found
    missing: dict[str, None] = {}
    for row in rows:
        image = lookup.find(row.name or "")
        if image is None:
            missing[row.name or ""] = None
        elif image in found.labels and found.labels[image] != row.label:
            raise DataError(
                f"{where}, line {row.line}: {image} is {row.label!r} here and {found.labels[image]!r} above",
                "Keep one of the two lines",
            )
        else:
            found.repeated += image in found.labels
            found.labels[image] = row.label
    found.missing = list(missing)
    return found


def _by_number(where: str, rows: Sequence[Row], images: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """One label for each number: the labels of the images, and the numbers without one."""
    numbers: dict[int, str] = {}
    for image in images:
        stem = image.rpartition("/")[2].rpartition(".")[0]
        digits = re.findall("[0-9]+", stem)
        if not digits:
            raise DataError(
                f"{where}: has labels without names, and the image {printable(image)} has no number",
                "Name the image of each label in the list",
            )
        other = numbers.setdefault(int(digits[-1]), image)
        if other is not image:
            raise DataError(
                f"{where}: has labels without names, and {printable(other)} and {printable(image)} have one "
                "number",
                "Name the image of each label in the list",
            )
    if len(rows) < len(numbers):
        raise DataError(
            f"{where}: expected a label for each of {len(numbers)} images, found {len(rows)}",
            "Add the others, or name the image of each label",
        )
    ordered = sorted(numbers)
    if len(rows) == len(numbers):
        return {numbers[number]: row.label for number, row in zip(ordered, rows, strict=True)}, []
    first = _first_number(where, ordered, len(rows))
    labels = {numbers[number]: rows[number - first].label for number in ordered}
    return labels, [str(number) for number in range(first, first + len(rows)) if number not in numbers]


def _first_number(where: str, numbers: Sequence[int], count: int) -> int:
    """Whether `count` labels, more than images, are for 0 to count - 1, or for 1 to count."""
    if numbers and numbers[-1] <= count:
        if numbers[0] == 0 and numbers[-1] < count:
            return 0
        if numbers[0] > 0 and numbers[-1] == count:
            return 1
    span = f"{numbers[0]} to {numbers[-1]}" if numbers else "none"
    raise DataError(
        f"{where}: {count} labels without names for {len(numbers)} images with the numbers {span}: which "
        "belongs to which is not clear",
        "Name the image of each label in the list",
    )


class _Lookup:
    """Finds images by what lists call them: a key, the end of one, a name without its suffix, a number."""

    def __init__(self, images: Iterable[str]) -> None:
        self._names: dict[str, list[str]] = {}
        self._stems: dict[str, list[str]] = {}
        self._numbers: dict[int, list[str]] = {}
        for image in images:
            name = image.rpartition("/")[2]
            stem = name.rpartition(".")[0]
            self._names.setdefault(name, []).append(image)
            self._stems.setdefault(stem, []).append(image)
            if re.fullmatch("[0-9]+", stem):
                self._numbers.setdefault(int(stem), []).append(image)

    def find(self, name: str) -> str | None:
        """The image of this name. A path of another machine does, as long as its end is the image's key or
        the other way round. Raises DataError where several images have the name."""
        parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".")]
        if not parts or ".." in parts:
            return None
        last = parts[-1]
        if has_image_suffix(last):
            found = self._names.get(last, [])
        else:
            found = self._stems.get(last, [])
            if not found and len(parts) == 1 and re.fullmatch("[0-9]{1,18}", last):
                found = self._numbers.get(int(last), [])
        folders = parts[:-1]
        fitting = [image for image in found if _same_end(image.split("/")[:-1], folders)]
        exact = [image for image in fitting if image.split("/")[:-1] == folders]
        if len(exact) == 1:
            return exact[0]
        if len(fitting) > 1:
            raise DataError(
                f"The label list names {printable(name)}, which is any of {', '.join(fitting[:3])}",
                "Write the folder before each name",
            )
        return fitting[0] if fitting else None


def _same_end(one: Sequence[str], other: Sequence[str]) -> bool:
    length = min(len(one), len(other))
    return one[len(one) - length :] == other[len(other) - length :]


def _assembled(listing: Listing, files: dict[str, tuple[str, bytes]]) -> LabelledImages:
    splits: dict[str, dict[str, str]] = {}
    missing: list[str] = []
    repeated = 0
    for scope, (key, data) in files.items():
        found = _labelled(listing, key, data, scope)
        missing += found.missing
        repeated += found.repeated
        parts = {scope: list(found.labels)} if scope else by_split(listing, found.labels)
        for split, images in parts.items():
            splits.setdefault(split, {}).update((image, found.labels[image]) for image in images)
    keys = [key for key, _ in files.values()]
    used = {label for labels in splits.values() for label in labels.values()}
    classes, names, listed = _class_names(listing, used, keys)
    number = {label: place for place, label in enumerate(classes)}
    return assemble(
        listing,
        NAME,
        names,
        {
            split: [LabelledImage(image, number[label]) for image, label in labels.items()]
            for split, labels in splits.items()
        },
        missing=missing,
        read=[*keys, *listed],
        warnings=[f"{repeated} images are in the list more than once"] if repeated else [],
    )


def _class_names(
    listing: Listing, used: set[str], lists: Sequence[str]
) -> tuple[list[str], list[str], list[str]]:
    """The labels in order, what each is called, and the file of the names: numbers may have names."""
    classes = in_order(used)
    found = [
        key
        for key in listing.keys
        if key.lower().endswith((".txt", ".json"))
        and key.rpartition("/")[2].lower().rpartition(".")[0] in _CLASSES
        and key not in lists
    ]
    if len(found) != 1 or not all(re.fullmatch("[0-9]+", label) for label in classes) or not classes:
        return classes, list(classes), []
    where = listing.url(found[0])
    names = class_list(where, listing.read(found[0]))
    numbers = [int(label) for label in classes]
    if isinstance(names, list):
        low, high = numbers[0], numbers[-1]
        if high > len(names) or (low == 0) == (high == len(names)):
            raise DataError(
                f"{where}: {len(names)} names for labels from {low} to {high}: which belongs to which is not "
                "clear",
                "Write the number before each name",
            )
        names = dict(enumerate(names, 0 if low == 0 else 1))
    unknown = [str(number) for number in numbers if number not in names]
    if unknown:
        raise DataError(f"{where}: has no name for the labels {', '.join(unknown[:5])}", "Add the names")
    return classes, [names[number] for number in numbers], found
