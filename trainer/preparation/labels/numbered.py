"""Labels without names: one for each image, in the order of the images' numbers. Pure."""

import re
from collections import Counter
from collections.abc import Sequence

from trainer.errors import DataError
from trainer.preparation.labels.formats.rows import LABEL_COLUMN, Row, normal
from trainer.preparation.labels.formats.text import is_number
from trainer.preparation.labels.source import printable

_NAME_THEM = "Name the image of each label in the list"


def by_number(where: str, rows: Sequence[Row], images: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """The labels of the images, and the numbers that have a label and no image. Raises DataError where it is
    not clear which is whose."""
    numbers: dict[int, str] = {}
    for image in images:
        stem = image.rpartition("/")[2].rpartition(".")[0]
        digits = re.findall("[0-9]+", stem)
        if not digits:
            raise DataError(
                f"{where}: has labels without names, and the image {printable(image)} has no number",
                _NAME_THEM,
            )
        other = numbers.setdefault(int(digits[-1]), image)
        if other is not image:
            raise DataError(
                f"{where}: has labels without names, and {printable(other)} and {printable(image)} have one "
                "number",
                _NAME_THEM,
            )
    if len(rows) < len(numbers):
        raise DataError(
            f"{where}: expected a label for each of {len(numbers)} images, found {len(rows)}",
            "Add the others, or name the image of each label",
        )
    labels = [row.label for row in rows]
    if _may_be_heading(labels, len(numbers)):
        raise DataError(
            f"{where}: the first line, {labels[0][:60]}, may be a heading or a label: {len(rows)} lines for "
            f"{len(numbers)} images",
            "Write label as the heading, or remove it",
        )
    ordered = sorted(numbers)
    if len(rows) == len(numbers):
        return {numbers[number]: label for number, label in zip(ordered, labels, strict=True)}, []
    first = _first_number(where, ordered, len(rows))
    found = {numbers[number]: labels[number - first] for number in ordered}
    return found, [str(number) for number in range(first, first + len(rows)) if number not in numbers]


def _may_be_heading(labels: Sequence[str], images: int) -> bool:
    """Whether the first of the labels is the only one of its class, and a line too many or no number."""
    first, *rest = labels
    counts = Counter(rest)
    if first in counts or is_number(first):
        return False
    alone = all(count > 1 for count in counts.values())
    return len(labels) == images + 1 or (bool(rest) and alone) or bool(LABEL_COLUMN.fullmatch(normal(first)))


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
        _NAME_THEM,
    )
