"""Label lists as tables: CSV, TSV and JSON -> rows. Pure."""

import csv
import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

from trainer.errors import DataError
from trainer.images.files import has_image_suffix
from trainer.preparation.labels.formats.columns import (
    Table,
    has_heads,
    image_column,
    label_columns,
    named_column,
    one_hot_label,
    split_column,
)
from trainer.preparation.labels.formats.rows import (
    LABEL_COLUMN,
    NO_COLUMNS,
    Columns,
    Find,
    NoLabels,
    Row,
    UnclearTable,
    normal,
)
from trainer.preparation.labels.formats.text import REMEDY, load_literal
from trainer.preparation.labels.split_names import split_named

DELIMITERS = ",;\t|"
_SAMPLE_LINES = 50

Cells = list[tuple[int, list[str]]]
"""The lines that are not empty: their numbers, counted from 1, and their values."""


def rows_of_text(name: str, text: str, find: Find, columns: Columns) -> list[Row]:
    """The rows of a table with commas, semicolons, tabs or bars between its values."""
    cells = cells_of(name, text, _delimiter(text, find))
    return rows_of_cells(name, cells, find, columns) if cells else []


def cells_of(name: str, text: str, delimiter: str) -> Cells:
    """Raises DataError for a text that is not a table."""
    try:
        reader = csv.reader(io.StringIO(text), delimiter=delimiter, skipinitialspace=True, strict=True)
        return [(reader.line_num, [cell.strip() for cell in row]) for row in reader if any(row)]
    except csv.Error as error:
        raise DataError(f"{name}: not a table of values ({error})", REMEDY) from None


def rows_of_cells(name: str, cells: Cells, find: Find, columns: Columns) -> list[Row]:
    """The rows of a table. Raises UnclearTable where it is not clear what its columns are."""
    width = len(cells[0][1])
    for line, row in cells:
        if len(row) != width:
            raise DataError(
                f"{name}, line {line}: expected {width} values as in the first line, found {len(row)}", REMEDY
            )
    if width == 1:
        return _single(name, cells, find, columns)
    wanted = {column for column in (columns.image, columns.label) if column}
    heads = wanted <= set(cells[0][1]) if wanted else has_heads([row for _, row in cells], find, name)
    if wanted and not heads and not all(column.isdecimal() for column in wanted):
        heads = True  # then the error names the heads
    table = Table(
        name,
        ", ".join(cells[0][1]),
        tuple(cells[0][1]) if heads else (),
        tuple(tuple(row) for _, row in (cells[1:] if heads else cells)),
        tuple(line for line, _ in (cells[1:] if heads else cells)),
    )
    return _chosen(table, find, columns)


def _chosen(table: Table, find: Find, columns: Columns) -> list[Row]:
    if not table.rows:
        return []
    image = named_column(table, columns.image, "--image-column") if columns.image else None
    label = named_column(table, columns.label, "--label-column") if columns.label else None
    if image is None:
        image = image_column(table, find)
    if image == label:
        raise DataError(
            f"--label-column: {table.name}: {columns.label!r} is the column of the images",
            "Name another one, or the images' by --image-column",
        )
    split = split_column(table, image)
    split = None if split == label else split
    labels = label_columns(table, image, split) if label is None else (label,)
    return [
        Row(
            row[labels[0]] if len(labels) == 1 else one_hot_label(table, labels, row),
            line,
            row[image],
            None if split is None else split_named(row[split]),
            normal(table.heads[labels[0]]) if table.heads and len(labels) == 1 else "",
        )
        for line, row in zip(table.lines, table.rows, strict=True)
    ]


def _single(name: str, cells: Cells, find: Find, columns: Columns) -> list[Row]:
    """A label for each image in the order of their numbers; the first line may be a head."""
    values = [row[0] for _, row in cells]
    if columns != NO_COLUMNS:
        raise DataError(f"{name}: has one column, received --label-column or --image-column", "Leave it out")
    check_labels_alone(name, values, find)
    first = 1 if LABEL_COLUMN.fullmatch(normal(values[0])) and values[0] not in values[1:] else 0
    return [Row(row[0], line) for line, row in cells[first:]]


def check_labels_alone(name: str, values: Sequence[str], find: Find) -> None:
    """Raises NoLabels where the lines are images, UnclearTable where they name some in another way."""
    rest = values[1:] or values
    if sum(not value.isdecimal() and names_image(value, find) for value in rest) * 2 > len(rest):
        raise NoLabels(
            f"{name}: names images without labels; its first line: {values[0][:120]}",
            "Write the label behind each name, or label the images by folders",
        )
    if sum(map(has_image_suffix, rest)) * 2 > len(rest):
        raise UnclearTable(
            f"{name}: expected an image's name and a label on each line, found {values[0][:120]}",
            "Write a table (.csv) with the heads filename and label",
        )


def names_image(text: str, find: Find) -> bool:
    """Whether a text is the name of an image; with blanks in it, all of it is."""
    found = find(text)
    return bool(found) and (not re.search(r"\s", text) or found[0].endswith(text.removeprefix("./")))


def _delimiter(text: str, find: Find) -> str:
    """What separates the values: with it all lines have the same number of them, and some name images."""
    sample = "\n".join([line for line in text.split("\n", 2 * _SAMPLE_LINES) if line.strip()][:_SAMPLE_LINES])
    best, delimiter = (False, False, 1), DELIMITERS[0]
    for candidate in DELIMITERS:
        try:
            rows = [row for _, row in cells_of("", sample, candidate)]
        except DataError:  # a value in quotes that does not end in the sample
            rows = [row.split(candidate) for row in sample.split("\n")]
        if not rows:
            continue
        width = len(rows[0])
        known = width > 1 and any(find(cell) or has_image_suffix(cell) for row in rows for cell in row)
        found = (width > 1 and all(len(row) == width for row in rows), known, width)
        if found > best:
            best, delimiter = found, candidate
    return delimiter


def rows_of_json(name: str, text: str, find: Find, columns: Columns) -> list[Row]:
    """The rows of a list of labels, of names with their labels, of labels with their names, of objects that
    have both, or of COCO's images and annotations."""
    value = load_literal(name, text)
    if isinstance(value, dict) and value.keys() >= {"images", "annotations"}:
        return _from_coco(name, value)
    if isinstance(value, dict) and value and all(_is_list_of_texts(names) for names in value.values()):
        pairs = [(str(label), image) for label, names in value.items() for image in names]
        return [Row(label, line, image) for line, (label, image) in enumerate(pairs, 1)]
    if isinstance(value, dict):
        return [Row(_text(name, label), line, str(key)) for line, (key, label) in enumerate(value.items(), 1)]
    if isinstance(value, list) and value and all(isinstance(row, dict) for row in value):
        heads = list(dict.fromkeys(head for row in value for head in row))
        scalar = [head for head in heads if all(_is_text(row.get(head)) for row in value)]
        cells = [(line, [_text(name, row[head]) for head in scalar]) for line, row in enumerate(value, 1)]
        return rows_of_cells(name, [(0, scalar or heads), *cells], find, columns)
    if isinstance(value, list):
        labels = [_text(name, label) for label in value]
        if labels:
            check_labels_alone(name, labels, find)
        return [Row(label, line) for line, label in enumerate(labels, 1)]
    raise DataError(f"{name}: expected a list of labels, or names with their labels", REMEDY)


def _from_coco(name: str, value: Mapping[str, Any]) -> list[Row]:
    """One label for each image, as iNaturalist has it. Raises DataError for an image with several."""
    try:
        files = {image["id"]: _text(name, image["file_name"]) for image in value["images"]}
        titles = {kind["id"]: _text(name, kind["name"]) for kind in value.get("categories", ())}
        pairs = [(row["image_id"], row["category_id"]) for row in value["annotations"]]
        return [
            Row(titles[kind] if titles else _text(name, kind), line, files[image])
            for line, (image, kind) in enumerate(dict.fromkeys(pairs), 1)
        ]
    except (KeyError, TypeError):
        raise DataError(
            f"{name}: expected COCO's images (id, file_name), annotations (image_id, category_id) and "
            "categories (id, name), found others",
            REMEDY,
        ) from None


def _is_list_of_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool))


def _text(name: str, value: Any) -> str:
    if not _is_text(value):
        raise DataError(f"{name}: expected a text or a whole number, found {str(value)[:60]}", REMEDY)
    return str(value).strip()
