"""Label lists as people write them, in text, CSV or JSON -> names and labels. Pure.

A list names its images, or has one label for each in the order of their numbers.
"""

import csv
import io
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from trainer.errors import DataError
from trainer.images.codec import SUFFIXES

TABLES = (".csv", ".tsv")
SUFFIXES_OF_LISTS = (".txt", *TABLES, ".json")
_NAME_COLUMN = re.compile("(file|image|img|f)?_?(name|path|id)|file|image|img", re.IGNORECASE)
_LABEL_COLUMN = re.compile(
    "(label|class)(_?(name|id))?|labels|category|target|breed|species|variety|diagnosis|dx|y", re.IGNORECASE
)
_CLASS_NAME = re.compile("(label|class|category)_?name|breed|species|variety", re.IGNORECASE)
_IMAGE = "|".join(re.escape(suffix) for suffix in SUFFIXES)
_NAMED = re.compile(rf"""(?P<q>["']?)(.+?(?:{_IMAGE}))(?P=q)\s*[\s,;:|]\s*(.*)""", re.IGNORECASE)
_NUMBERED = re.compile(r"([0-9]+)\s*[\s,;:|]\s*(\S.*)")
_BITS = frozenset({"0", "1", "0.0", "1.0"})
_BOX = re.compile(r"(\t-?[0-9.]+)+$")
"""Behind a label, as in tiny-imagenet's val_annotations.txt."""
_REMEDY = "Correct the list"


@dataclass(frozen=True)
class Row:
    """A label, the image that the list names for it, if it names them, and the line, counted from 1."""

    label: str
    line: int
    name: str | None = None


def parse(name: str, data: bytes, known: Callable[[str], bool]) -> list[Row]:
    """The rows of a label list, in its order; all of them name an image, or none.

    `known` tells whether a text names an image that is there. Raises DataError with the list's name and line.
    """
    text = decode(name, data)
    if name.lower().endswith(".json"):
        rows = _from_json(name, text)
    elif name.lower().endswith(TABLES):
        rows = _from_table(name, text, known)
    else:
        rows = _from_lines(name, text, known)
    if not rows:
        raise DataError(f"{name}: the label list is empty", _REMEDY)
    for row in rows:
        if not row.label or (row.name is not None and not row.name):
            what = "label" if not row.label else "name of an image"
            raise DataError(f"{name}, line {row.line}: expected a {what}, found nothing", _REMEDY)
    return rows


def decode(name: str, data: bytes) -> str:
    """UTF-8, with or without a mark before it; or UTF-16 with one, as spreadsheets write it."""
    try:
        text = data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{name}: expected text in UTF-8, found other bytes at {error.start}", _REMEDY
        ) from None
    if "\0" in text:
        raise DataError(f"{name}: expected text, found a zero byte", _REMEDY)
    return text.replace("\r\n", "\n").replace("\r", "\n")


def lines_of(name: str, data: bytes) -> list[str]:
    """The lines without blanks and quotes around them; empty lines at the end are none."""
    return [_bare(line) for line in decode(name, data).rstrip().split("\n")]


def class_list(name: str, data: bytes) -> dict[int, str] | list[str]:
    """Class names: one a line in their order, or `NUMBER NAME` on each or all on one line, or JSON."""
    text = decode(name, data).strip()
    if name.lower().endswith(".json"):
        value = _json(name, text)
        if isinstance(value, list) and value and all(isinstance(label, str) for label in value):
            return [label.strip() for label in value]
        if isinstance(value, dict) and value and all(re.fullmatch("[0-9]+", key) for key in value):
            return {int(key): str(label).strip() for key, label in value.items()}
        raise DataError(f"{name}: expected a list of class names, or numbers with their names", _REMEDY)
    lines = [_bare(line) for line in text.split("\n") if line.strip()]
    if lines and re.fullmatch(r"(?i)id\W+name", lines[0]):
        lines = lines[1:]
    numbered = [_NUMBERED.fullmatch(line) for line in lines]
    if len(lines) == 1 and numbered[0]:
        return _on_one_line(lines[0])
    pairs = [(int(found[1]), _bare(found[2])) for found in numbered if found]
    if pairs and len(pairs) == len(lines):
        if len({number for number, _ in pairs}) < len(pairs):
            twice = next(a for (a, _), (b, _) in pairwise(sorted(pairs)) if a == b)
            raise DataError(f"{name}: the number {twice} has two names", _REMEDY)
        return dict(pairs)
    if pairs and len(pairs) > len(lines) // 2:
        odd = next(line for line, found in zip(lines, numbered, strict=True) if not found)
        raise DataError(f"{name}: expected a number and a name on each line, found {odd[:60]!r}", _REMEDY)
    if not lines:
        raise DataError(f"{name}: the list of classes is empty", _REMEDY)
    return lines


def _on_one_line(line: str) -> dict[int, str]:
    """`1 rice 2 eels on rice 3 pilaf`: a number begins a name only where it is the next one."""
    found: dict[int, list[str]] = {}
    number = int(line.split()[0])
    for word in line.split():
        if word == str(number):
            found[number] = []
            number += 1
        else:
            found[number - 1].append(word)
    return {number: " ".join(words) for number, words in found.items()}


def _from_lines(name: str, text: str, known: Callable[[str], bool]) -> list[Row]:
    lines = [line.strip() for line in text.rstrip().split("\n")]
    if lines == [""]:
        return []
    for pattern, group in ((_NAMED, 2), (_NUMBERED, 1)):
        found = [pattern.fullmatch(line) for line in lines]
        first = 0 if found[0] else 1  # a line of headings
        matches = [match for match in found if match]
        if pattern is _NUMBERED and not any(known(match[group]) for match in matches[:50]):
            continue
        if matches and len(matches) * 2 > len(lines) - first:
            rows = []
            for number, (line, match) in enumerate(zip(lines, found, strict=True), 1):
                if match:
                    rows.append(Row(_bare(_BOX.sub("", match[group + 1])), number, match[group]))
                elif line and number > first:
                    raise DataError(
                        f"{name}, line {number}: expected an image's name and a label, found {line[:60]!r}",
                        _REMEDY,
                    )
            return rows
    return [Row(_bare(line), number) for number, line in enumerate(lines, 1)]


def _from_table(name: str, text: str, known: Callable[[str], bool]) -> list[Row]:
    head = text.partition("\n")[0]
    delimiter = max(",;\t", key=head.count)
    try:
        reader = csv.reader(io.StringIO(text), delimiter=delimiter, skipinitialspace=True, strict=True)
        cells = [(reader.line_num, [cell.strip() for cell in row]) for row in reader if any(row)]
    except csv.Error as error:
        raise DataError(f"{name}: not a table of values ({error})", _REMEDY) from None
    if not cells:
        return []
    heads = [cell.lower() for cell in cells[0][1]]
    names = [place for place, cell in enumerate(heads) if _NAME_COLUMN.fullmatch(cell)]
    labels = [place for place, cell in enumerate(heads) if _LABEL_COLUMN.fullmatch(cell)]
    if len(heads) == 1:
        return [Row(row[0], line) for line, row in cells[1 if labels else 0 :]]
    names = names or _naming(cells[1:], len(heads), known)
    if len(heads) > 2 and names and (hot := _one_hot(cells, _most_known(cells[1:], names, known))):
        return hot
    labels = _one_of(labels, heads, cells[1:])
    if len(labels) == 1 and names:
        of_name, of_label, rows = _most_known(cells[1:], names, known), labels[0], cells[1:]
    elif len(heads) == 2:
        of_name = _most_known(cells, [0, 1], known)
        of_label, rows = 1 - of_name, cells
        first = heads[of_name]
        if len(cells) > 1 and not known(cells[0][1][of_name]) and not first.endswith(SUFFIXES):
            rows = cells[1:]
    else:
        raise DataError(
            f"{name}: expected columns for the image and for the label, found {', '.join(heads)[:120]}",
            "Name one of them filename, and one label, in the first line",
        )
    for line, row in rows:
        if len(row) != len(heads):
            raise DataError(
                f"{name}, line {line}: expected {len(heads)} values as in the first line, found {len(row)}",
                _REMEDY,
            )
    return [Row(row[of_label], line, row[of_name]) for line, row in rows]


def _naming(cells: Sequence[tuple[int, list[str]]], width: int, known: Callable[[str], bool]) -> list[int]:
    """The columns whose first values all name images that are there."""
    first = [row for _, row in cells[:50]]
    return [
        column
        for column in range(width)
        if first and all(column < len(row) and known(row[column]) for row in first)
    ]


def _one_hot(cells: Sequence[tuple[int, list[str]]], of_name: int) -> list[Row]:
    """Rows of a table whose other columns are classes, with a single 1 in each row; else none."""
    heads, rows = cells[0][1], cells[1:]
    columns = [column for column in range(len(heads)) if column != of_name]
    found = []
    for line, row in rows:
        if len(row) != len(heads) or any(row[column] not in _BITS for column in columns):
            return []
        ones = [heads[column] for column in columns if float(row[column])]
        if len(ones) != 1:
            return []
        found.append(Row(ones[0], line, row[of_name]))
    return found


def _one_of(labels: list[int], heads: list[str], cells: Sequence[tuple[int, list[str]]]) -> list[int]:
    """Of columns that say the same, a class's number and its name, the one of names."""
    named = [column for column in labels if _CLASS_NAME.fullmatch(heads[column])]
    if len(labels) < 2 or len(named) != 1:
        return labels
    rows = [row for _, row in cells if len(row) == len(heads)]
    for column in labels:
        pairs = {(row[column], row[named[0]]) for row in rows}
        if len(pairs) != len({one for one, _ in pairs}) or len(pairs) != len({name for _, name in pairs}):
            return labels
    return named


def _most_known(
    cells: Sequence[tuple[int, list[str]]], columns: Sequence[int], known: Callable[[str], bool]
) -> int:
    """The column with the most names of images in its first rows; of several the first."""
    return max(
        columns, key=lambda column: sum(column < len(row) and known(row[column]) for _, row in cells[:50])
    )


def _from_json(name: str, text: str) -> list[Row]:
    value = _json(name, text)
    if isinstance(value, dict):
        return [Row(_label(name, label), line, key) for line, (key, label) in enumerate(value.items(), 1)]
    if isinstance(value, list) and value and all(isinstance(row, dict) for row in value):
        rows = []
        for line, row in enumerate(value, 1):
            names = [key for key in row if _NAME_COLUMN.fullmatch(key)]
            labels = [key for key in row if _LABEL_COLUMN.fullmatch(key)]
            if len(names) != 1 or len(labels) != 1:
                raise DataError(
                    f"{name}, entry {line}: expected filename and label, found {', '.join(row)[:120]}",
                    _REMEDY,
                )
            rows.append(Row(_label(name, row[labels[0]]), line, _label(name, row[names[0]])))
        return rows
    if isinstance(value, list):
        return [Row(_label(name, label), line) for line, label in enumerate(value, 1)]
    raise DataError(f"{name}: expected a list of labels, or names with their labels", _REMEDY)


def _label(name: str, value: Any) -> str:
    if isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
        return str(value).strip()
    raise DataError(f"{name}: expected a text or a whole number, found {str(value)[:60]}", _REMEDY)


def _json(name: str, text: str) -> Any:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            keys = [key for key, _ in pairs]
            twice = next(key for key in keys if keys.count(key) > 1)
            raise DataError(f"{name}: {twice!r} is there twice", _REMEDY)
        return found

    try:
        return json.loads(text, object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{name}: not JSON ({' '.join(str(error).split())})", _REMEDY) from None


def _bare(text: str) -> str:
    """Without blanks and a pair of quotes around it."""
    text = text.strip()
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "\"'"
    return text[1:-1].strip() if quoted else text
