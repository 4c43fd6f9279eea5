"""What a label list says, row by row, and what its columns may be called."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from trainer.errors import DataError

Find = Callable[[str], Sequence[str]]
"""The images that a text in a list may name: none, one, or several."""

TABLES = (".csv", ".tsv")
SUFFIXES_OF_LISTS = (".txt", *TABLES, ".json")

NAME_COLUMN = re.compile("((file|image|img|f)?_?(name|path|id)|file|image|img|picture|photo)s?")
LABEL_COLUMN = re.compile(
    "(label|class|category)(_?(name|id|idx|index))?|labels|classes|target|breed|species|variety|diagnosis|dx"
)
SPLIT_COLUMN = re.compile("split|subset|partition|usage|(data_?)?set")
INDEX_COLUMN = re.compile("|index|unnamed:_0")


@dataclass(frozen=True)
class Row:
    """A label, the line, counted from 1, the image that the list names, if it names them, its split, if the
    list says it, and the head of the column of the label, if it has one."""

    label: str
    line: int
    name: str | None = None
    split: str | None = None
    column: str = ""


@dataclass(frozen=True)
class Columns:
    """The columns of a table by their heads, where a person has named them; without heads by their number,
    counted from 1."""

    image: str | None = None
    label: str | None = None


NO_COLUMNS = Columns()


class UnclearTable(DataError):
    """A table whose columns are not clear.

    Attributes:
        names_images: whether it names images at all.
        names: what each row calls its image, where the column of images is clear.
        others: the values of each other column.
    """

    names_images = True
    names: Sequence[str] = ()
    others: Sequence[Sequence[str]] = ()


class NoLabels(DataError):
    """A list that names images, and has no label for them."""


def normal(head: str) -> str:
    """A column's head, in the form that the patterns are for: `Data Set` is data_set."""
    return re.sub(r"[\s.\-]+", "_", head.strip().lower())
