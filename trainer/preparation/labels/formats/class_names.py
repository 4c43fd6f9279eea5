"""Files that give the classes of a dataset their names."""

import re
from itertools import pairwise
from typing import Any

from trainer.errors import DataError
from trainer.preparation.labels.formats.text import REMEDY, bare, composed, decode, is_bracketed, load_literal

_NUMBERED = re.compile(r"([0-9]+)\s*[\s,;:|=]\s*(\S.*)")
_NUMBER_LAST = re.compile(r"(.*\S)\s*[\s,;:|=]\s*([0-9]+)")


def class_list(name: str, data: bytes) -> dict[int, str] | list[str]:
    """Class names: one a line in their order, or `NUMBER NAME` (`0 = cat`) or `NAME NUMBER` on each, or all
    on one line, or JSON, also as Python prints it. Raises DataError for anything else."""
    text = decode(name, data).strip()
    found = _of_value(name, text) if name.lower().endswith(".json") or is_bracketed(text) else None
    found = _of_lines(name, text) if found is None else found
    if isinstance(found, list):
        return [composed(label) for label in found]
    return {number: composed(label) for number, label in found.items()}


def _of_value(name: str, text: str) -> dict[int, str] | list[str]:
    value: Any = load_literal(name, text)
    if isinstance(value, list) and value and all(isinstance(label, str) for label in value):
        return [label.strip() for label in value]
    if isinstance(value, dict) and value:
        if all(re.fullmatch("[0-9]+", str(key)) for key in value):
            return {int(key): str(label).strip() for key, label in value.items()}
        numbers = list(value.values())
        if all(type(number) is int for number in numbers) and len(set(numbers)) == len(numbers):
            return {number: str(label).strip() for label, number in value.items()}
    raise DataError(f"{name}: expected a list of class names, or numbers with their names", REMEDY)


def _of_lines(name: str, text: str) -> dict[int, str] | list[str]:
    lines = [bare(line) for line in text.split("\n") if line.strip()]
    if lines and re.fullmatch(r"(?i)id\W+name", lines[0]):
        lines = lines[1:]
    if not lines:
        raise DataError(f"{name}: the list of classes is empty", REMEDY)
    numbered = [_NUMBERED.fullmatch(line) for line in lines]
    if len(lines) == 1 and numbered[0]:
        return _on_one_line(lines[0])
    pairs = [(int(found[1]), bare(found[2])) for found in numbered if found]
    if pairs and len(pairs) == len(lines):
        if len({number for number, _ in pairs}) < len(pairs):
            twice = next(a for (a, _), (b, _) in pairwise(sorted(pairs)) if a == b)
            raise DataError(f"{name}: the number {twice} has two names", REMEDY)
        return dict(pairs)
    if pairs and len(pairs) > len(lines) // 2:
        odd = next(line for line, found in zip(lines, numbered, strict=True) if not found)
        raise DataError(f"{name}: expected a number and a name on each line, found {odd[:60]!r}", REMEDY)
    return _number_last(lines) or lines


def _number_last(lines: list[str]) -> dict[int, str]:
    """`cat 0`, `dog 1`: only where the numbers are 0, 1, 2, … or 1, 2, 3, … in this order."""
    found = [_NUMBER_LAST.fullmatch(line) for line in lines]
    pairs = {int(match[2]): bare(match[1]) for match in found if match}
    first = min(pairs, default=0)
    distinct = len(set(pairs.values())) == len(lines) > 1
    if distinct and first < 2 and list(pairs) == list(range(first, first + len(lines))):
        return pairs
    return {}


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
