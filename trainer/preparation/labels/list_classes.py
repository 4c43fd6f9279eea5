"""The classes of label lists: in order, and by their names where a file gives numbers names."""

import re
from collections.abc import Collection, Sequence

from trainer.errors import DataError
from trainer.preparation.labels.file_listing import Listing, in_order
from trainer.preparation.labels.formats.class_names import class_list

FILES_OF_NAMES = frozenset(
    {
        *("classes", "class_names", "classnames", "label_names", "labelnames", "categories", "names"),
        *("class_indices", "class_index", "idx_to_class", "label_map", "labels_map", "class_map"),
    }
)
"""What a file with the names of the classes is called, without its suffix."""


def class_names(
    listing: Listing, used: Collection[str], lists: Sequence[str]
) -> tuple[list[str], list[str], list[str]]:
    """The labels in order, what each is called, and the file of the names. `lists`: files that are label
    lists. Raises DataError for numbers that are written in two ways, or whose names are not clear."""
    classes = in_order(used)
    numbers = [int(label) for label in classes if re.fullmatch("[0-9]+", label)]
    if len(numbers) < len(classes) or not classes:
        return classes, list(classes), []
    if len(set(numbers)) < len(numbers):
        twice = [label for label in classes if numbers.count(int(label)) > 1]
        raise DataError(
            f"{listing.store.url}: the labels {', '.join(twice[:2])} are one number, written in two ways",
            "Write it in one way",
        )
    found = [
        key
        for key in listing.keys
        if key.lower().endswith((".txt", ".json"))
        and key.rpartition("/")[2].lower().rpartition(".")[0] in FILES_OF_NAMES
        and key not in lists
    ]
    if len(found) != 1:
        return classes, list(classes), []
    where = listing.url(found[0])
    names = class_list(where, listing.read(found[0]))
    if isinstance(names, list):
        names = _counted(where, names, numbers)
    unknown = [str(number) for number in numbers if number not in names]
    if unknown:
        raise DataError(f"{where}: has no name for the labels {', '.join(unknown[:5])}", "Add the names")
    called = [names[number] for number in numbers]
    twice = [name for name in called if called.count(name) > 1]
    if twice:
        raise DataError(f"{where}: two labels have the name {twice[0]!r}", "Give each a name of its own")
    return classes, called, found


def _counted(where: str, names: Sequence[str], numbers: Sequence[int]) -> dict[int, str]:
    """Number -> name: whether the first name is for 0 or for 1."""
    low, high = numbers[0], numbers[-1]
    if high > len(names) or (low == 0) == (high == len(names)):
        raise DataError(
            f"{where}: {len(names)} names for labels from {low} to {high}: which belongs to which is not "
            "clear",
            "Write the number before each name",
        )
    return dict(enumerate(names, 0 if low == 0 else 1))
