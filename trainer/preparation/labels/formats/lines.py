"""Label lists as lines of text -> rows. Pure."""

import re
from collections.abc import Sequence

from trainer.errors import DataError
from trainer.images.codec import SUFFIXES
from trainer.images.files import has_image_suffix
from trainer.preparation.labels.formats.rows import NO_COLUMNS, Columns, Find, Row
from trainer.preparation.labels.formats.tables import (
    DELIMITERS,
    cells_of,
    check_labels_alone,
    names_image,
    rows_of_cells,
    rows_of_json,
)
from trainer.preparation.labels.formats.text import REMEDY, bare, is_bracketed, is_number

_IMAGE = "|".join(re.escape(suffix) for suffix in SUFFIXES)
_NAMED = re.compile(
    rf"""(?P<q>["']?)(?P<name>.+?(?:{_IMAGE}))(?P=q)\s*[\s,;:|]\s*(?P<label>.*)""", re.IGNORECASE
)
_WORD = re.compile(r"(?P<name>[^\s,;|]+)\s*[\s,;|]\s*(?P<label>\S.*)")
_NUMBERED = re.compile(r"(?P<name>[0-9]+)\s*[\s,;:|]\s*(?P<label>\S.*)")
_LAST = re.compile(rf"(?P<label>\S.*?)\s*[\s,;:|]\s*(?P<name>\S+(?:{_IMAGE}))", re.IGNORECASE)
_FIRST = re.compile(rf"(?P<label>\S+?)\s*[\s,;:|]\s*(?P<name>\S.*(?:{_IMAGE}))", re.IGNORECASE)
_BOX = re.compile(r"(\t-?[0-9.]+){4}$")
"""Behind a label, as in tiny-imagenet's val_annotations.txt."""

Lines = list[tuple[int, str]]


def rows_of_lines(name: str, text: str, find: Find, columns: Columns) -> list[Row]:
    """The rows of a text: a name and a label on each line, or a table of more columns, or a label on each
    line, or one list in brackets. Lines that begin with # are comments."""
    if is_bracketed(text):
        return rows_of_json(name, text, find, columns)
    lines = _without_comments([line.strip() for line in text.rstrip().split("\n")], find)
    if not any(line for _, line in lines):
        return []
    for delimiter in DELIMITERS:
        cells = _cells(name, lines, delimiter)
        if cells and (columns != NO_COLUMNS or len(cells[0][1]) > (1 if delimiter == "\t" else 2)):
            return rows_of_cells(name, cells, find, columns)
    for pattern in (_NAMED, _NUMBERED, _FIRST, _LAST, _WORD):
        if (rows := _matched(name, lines, pattern, find)) is not None:
            return rows
    check_labels_alone(name, [line for _, line in lines if line], find)
    return [Row(bare(line), number) for number, line in lines]


def _without_comments(lines: Sequence[str], find: Find) -> Lines:
    numbered = list(enumerate(lines, 1))
    kept = [
        (number, line)
        for number, line in numbered
        if not line.startswith("#") or ((found := _NAMED.fullmatch(line)) and find(found["name"]))
    ]
    return kept if any(line for _, line in kept) else numbered


def _cells(name: str, lines: Lines, delimiter: str) -> list[tuple[int, list[str]]]:
    """The values of a table whose lines all have the same number of them; a box at the end is left out."""
    text = [(number, _BOX.sub("", line)) for number, line in lines if line]
    try:
        cells = [(number, cells_of(name, line, delimiter)[0][1]) for number, line in text]
    except (DataError, IndexError):
        return []
    return cells if len({len(row) for _, row in cells}) == 1 else []


def _matched(name: str, lines: Lines, pattern: "re.Pattern[str]", find: Find) -> list[Row] | None:
    """The rows of lines of which most fit a pattern and, where names have no suffix, name images."""
    found = [pattern.fullmatch(line) for _, line in lines]
    first = (
        0 if found[0] and (pattern in (_NAMED, _FIRST, _LAST) or find(found[0]["name"])) else 1
    )  # headings
    matches = [match for match in found[first:] if match]
    if not matches or len(matches) * 2 <= len(lines) - first:
        return None
    if pattern is not _NAMED and not _name_images([match["name"] for match in matches], find, pattern):
        return None
    rows = []
    for (number, line), match in list(zip(lines, found, strict=True))[first:]:
        if match:
            rows.append(Row(bare(_BOX.sub("", match["label"])), number, match["name"]))
        elif line:
            raise DataError(
                f"{name}, line {number}: expected an image's name and a label, found {line[:60]!r}", REMEDY
            )
    return _of_one_value(name, rows, lines[0][1])


def _name_images(names: Sequence[str], find: Find, pattern: "re.Pattern[str]") -> bool:
    known = sum(bool(find(name)) for name in names)
    if pattern is _FIRST:  # what follows the first word may be the rest of the label
        return all(names_image(name, find) for name in names)
    return known > 0 if pattern is _NUMBERED else known * 2 > len(names)


def _of_one_value(name: str, rows: list[Row], line: str) -> list[Row]:
    """Rows whose labels are one value. Of a class's name and its number behind it the name is one; several
    numbers, or names of images, are none. Raises DataError."""
    words = [row.label.split() for row in rows]
    several = all(len(label) > 1 and is_number(label[-1]) for label in words)
    if not several and not any(map(has_image_suffix, (row.label for row in rows))):
        return rows
    fronts = [" ".join(label[:-1]) for label in words]
    several = several and not any(is_number(label[-2]) for label in words)
    pairs = set(zip(fronts, (label[-1] for label in words if label), strict=False))
    if several and len({front for front, _ in pairs}) == len(pairs) == len({last for _, last in pairs}):
        return [Row(front, row.line, row.name) for front, row in zip(fronts, rows, strict=True)]
    raise DataError(
        f"{name}: expected a name and a label on each line, found several values: {line[:120]}",
        "Write a table (.csv) with heads, or leave the other values out",
    )
