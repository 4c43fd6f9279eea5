"""Which column of a table is the image, which the label, and which the split. Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from trainer.errors import DataError
from trainer.images.files import has_image_suffix
from trainer.preparation.labels.formats.rows import (
    INDEX_COLUMN,
    LABEL_COLUMN,
    NAME_COLUMN,
    SPLIT_COLUMN,
    Find,
    UnclearTable,
    normal,
)
from trainer.preparation.labels.formats.text import is_number
from trainer.preparation.labels.split_names import split_named

_REMEDY = "Name them with --image-column and --label-column"
_BITS = {"0": 0, "0.0": 0, "false": 0, "1": 1, "1.0": 1, "true": 1}


@dataclass(frozen=True)
class Table:
    """Rows of one width. `heads` is empty where the first line is a row already; `first` is that line;
    `lines` are those of the rows, counted from 1."""

    name: str
    first: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    lines: tuple[int, ...]

    @property
    def width(self) -> int:
        return len(self.heads) or (len(self.rows[0]) if self.rows else 0)

    def column(self, place: int) -> list[str]:
        return [row[place] for row in self.rows]

    def matching(self, pattern: "re.Pattern[str]") -> list[int]:
        """The columns with such heads."""
        return [place for place, head in enumerate(self.heads) if pattern.fullmatch(normal(head))]

    def called(self, places: Sequence[int]) -> str:
        return ", ".join(
            self.heads[place] or "(no name)" if self.heads else str(place + 1) for place in places
        )


def has_heads(rows: Sequence[Sequence[str]], find: Find, name: str) -> bool:
    """Whether the first line is heads, and no row. Raises DataError where both may be."""
    first, rest = rows[0], rows[1:]
    if any(map(has_image_suffix, first)):
        return False
    words = [bool(NAME_COLUMN.fullmatch(normal(cell))) for cell in first]
    known = [bool(find(cell)) for cell in first]
    for place, word in enumerate(words):
        if word and not known[place] and sum(bool(find(row[place])) for row in rest) * 2 > len(rest):
            return True
    if not any(known):
        return True
    labelled = any(LABEL_COLUMN.fullmatch(normal(cell)) for cell in first)
    if not all(words[place] for place, it_is in enumerate(known) if it_is):
        return False
    if labelled:
        return True
    raise DataError(
        f"{name}: the first line, {', '.join(first)[:120]}, may be headings or an image and its label",
        "Give the column of the labels the head label, or write headings above",
    )


def named_column(table: Table, wanted: str, option: str) -> int:
    """The column that a person has named. Raises DataError for one that is not there, or is there twice."""
    found = [place for place, head in enumerate(table.heads) if head == wanted]
    found = found or [place for place, head in enumerate(table.heads) if normal(head) == normal(wanted)]
    if not table.heads and wanted.isdecimal() and 1 <= int(wanted) <= table.width:
        found = [int(wanted) - 1]
    if len(found) != 1:
        raise DataError(
            f"{option}: {table.name} has {'no' if not found else 'more than one'} column {wanted!r}; its "
            f"first line: {table.first[:120]}",
            "Name one of its columns" + ("" if table.heads else " by its number"),
        )
    return found[0]


def image_column(table: Table, find: Find) -> int:
    """The column that names images: of several that name different ones, the one with files' names.
    Raises UnclearTable."""
    labels = set(table.matching(LABEL_COLUMN))
    named = {place: [tuple(find(cell)) for cell in table.column(place)] for place in range(table.width)}
    known = {place: sum(map(bool, images)) for place, images in named.items()}
    candidates = [place for place in range(table.width) if known[place] and place not in labels]
    candidates = candidates or [place for place in range(table.width) if known[place]]
    if not candidates:
        return _none_known(table)
    if len(candidates) > 1:
        files = [place for place in candidates if _are_files(table.column(place))]
        sure = [place for place in files if known[place] * 2 > len(table.rows)]
        distinct = [place for place in candidates if len(set(table.column(place))) == len(table.rows)]
        candidates = sure or (candidates if files else distinct or candidates)
    if any(named[place] != named[candidates[0]] for place in candidates):
        raise unclear(table, f"the image may be {table.called(candidates)}")
    return candidates[0]


def _none_known(table: Table) -> int:
    """The column of images of which none is there."""
    for place in range(table.width):
        if table.rows and _are_files(table.column(place)):
            return place
    if found := table.matching(NAME_COLUMN):
        return found[0]
    error = unclear(table, "no column names the images")
    error.names_images = False
    raise error


def _are_files(values: Sequence[str]) -> bool:
    return sum(map(has_image_suffix, values)) * 2 > len(values)


def split_column(table: Table, image: int) -> int | None:
    """The column with train, validation or test in each row. Raises DataError where some rows have others, or
    several columns say different splits."""
    found: list[int] = []
    for place in table.matching(SPLIT_COLUMN) if table.heads else range(table.width):
        values = set(table.column(place))
        understood = {value for value in values if split_named(value)}
        if place == image or not understood or (not table.heads and understood != values):
            continue
        if understood != values:
            other = next(value for value in table.column(place) if value not in understood)
            raise DataError(
                f"{table.name}: the column {table.called([place])} has {other!r}; expected train, validation "
                "or test in each row",
                "Correct the table, or remove the column",
            )
        if table.heads or len(values) > 1:
            found.append(place)
    if len({tuple(map(split_named, table.column(place))) for place in found}) > 1:
        raise unclear(table, f"the split may be {table.called(found)}")
    return found[0] if found else None


def label_columns(table: Table, image: int, split: int | None) -> tuple[int, ...]:
    """The column with the labels; or several, one for each class, with a single 1 in each row. Raises
    UnclearTable."""
    others = [
        place
        for place in range(table.width)
        if place not in (image, split) and not (table.heads and _is_index(table, place))
    ]
    labels = [place for place in table.matching(LABEL_COLUMN) if place in others]
    hot = len(others) > 1 and bool(table.heads) and _is_one_hot(table, others)
    rest = [place for place in others if place not in labels]
    hot_beside = bool(labels) and len(rest) > 1 and bool(table.heads) and _is_one_hot(table, rest)
    if hot_beside or (hot and labels and len(others) > 2) or (len(labels) > 1 and _is_one_hot(table, labels)):
        raise unclear(table, f"the label may be {table.called(labels)}, or a column for each class", image)
    if hot and not labels:
        return tuple(others)
    if len(labels) > 1:
        labels = _same_classes(table, labels)
    if len(labels) == 1:
        return (labels[0],)
    if not labels and len(others) == 1:
        return (others[0],)
    raise unclear(table, f"the label may be {table.called(labels or others) or 'in no column'}", image)


def one_hot_label(table: Table, columns: Sequence[int], row: Sequence[str]) -> str:
    """The class whose column has the 1."""
    return next(table.heads[place] for place in columns if _BITS[row[place].lower()])


def _is_index(table: Table, place: int) -> bool:
    return bool(INDEX_COLUMN.fullmatch(normal(table.heads[place]))) and all(
        map(is_number, table.column(place))
    )


def _is_one_hot(table: Table, places: Sequence[int]) -> bool:
    return bool(table.rows) and all(
        sorted(_BITS.get(row[place].lower(), 2) for place in places) == [*[0] * (len(places) - 1), 1]
        for row in table.rows
    )


def _same_classes(table: Table, places: list[int]) -> list[int]:
    """One of the columns that say the same, as a class's number and its name: that of names, if any."""
    first = table.column(places[0])
    for place in places[1:]:
        pairs = set(zip(first, table.column(place), strict=True))
        if len(pairs) != len({one for one, _ in pairs}) or len(pairs) != len({other for _, other in pairs}):
            return places
    texts = [place for place in places if not all(map(is_number, table.column(place)))]
    return (texts or places)[:1]


def unclear(table: Table, why: str, image: int | None = None) -> UnclearTable:
    """The error for a table whose columns are not clear."""
    error = UnclearTable(
        f"{table.name}: expected columns for the image and for the label, found {table.first[:200]} ({why})",
        _REMEDY,
    )
    if image is not None:
        error.names = table.column(image)
        error.others = [table.column(place) for place in range(table.width) if place != image]
    return error
