"""Label lists as people write them, in text, CSV or JSON -> rows. Pure.

A list names its images, or has one label for each in the order of their numbers.
"""

import re
from dataclasses import replace

from trainer.errors import DataError
from trainer.preparation.labels.formats.lines import rows_of_lines
from trainer.preparation.labels.formats.rows import NO_COLUMNS, TABLES, Columns, Find, Row
from trainer.preparation.labels.formats.tables import rows_of_json, rows_of_text
from trainer.preparation.labels.formats.text import REMEDY, composed, decode, is_number

__all__ = ["parse"]

_NOT_A_NUMBER = ("nan", "NaN")
"""What pandas writes for a label that is not there."""


def parse(name: str, data: bytes, find: Find, columns: Columns = NO_COLUMNS) -> list[Row]:
    """The rows of a label list, in its order; all of them name an image, or none.

    `find` gives the images that a text may name. Raises DataError with the list's name and line.
    """
    text = decode(name, data)
    lower = name.lower()
    read = (
        rows_of_json if lower.endswith(".json") else rows_of_text if lower.endswith(TABLES) else rows_of_lines
    )
    rows = read(name, text, find, columns)
    if not rows:
        raise DataError(f"{name}: the label list is empty", REMEDY)
    for row in rows:
        if not row.label or row.label in _NOT_A_NUMBER:
            raise DataError(
                f"{name}, line {row.line}: expected a label, found {row.label or 'nothing'}", REMEDY
            )
        if row.name is not None and not row.name:
            raise DataError(f"{name}, line {row.line}: expected the name of an image, found nothing", REMEDY)
    return _with_labels(rows, _labels(name, rows))


def _labels(name: str, rows: list[Row]) -> list[str]:
    """The labels as classes: accents in one form, whole numbers without ".0". Raises DataError for numbers
    with fractions."""
    labels = [composed(row.label) for row in rows]
    if not all(map(is_number, labels)) or all(label.isdecimal() for label in labels):
        return labels
    whole = [re.fullmatch(r"(-?[0-9]+)(?:\.0+)?", label) for label in labels]
    for row, match in zip(rows, whole, strict=True):
        if not match:
            raise DataError(
                f"{name}, line {row.line}: expected a class, found the number {row.label}",
                "Name the column of the classes with --label-column, or write classes in place of numbers",
            )
    return [match[1] for match in whole if match]


def _with_labels(rows: list[Row], labels: list[str]) -> list[Row]:
    return [replace(row, label=label) for row, label in zip(rows, labels, strict=True)]
