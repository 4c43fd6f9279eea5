"""What several pages print: some names of many, a value, a word for a shell."""

import shlex
from collections.abc import Sequence
from typing import Any

from trainer.output.units import abbreviate

FEW_NAMES = 5


def classes(names: Sequence[str]) -> str:
    return f"{len(names):,}: {abbreviate(names, FEW_NAMES)}"


def some(names: Sequence[str], description: str, count: int | None = None) -> str:
    return first(count or len(names), names[:FEW_NAMES], description)


def first(count: int, names: Sequence[str], description: str) -> str:
    return f"{count:,} {description}: {'; '.join(names)}" + (" …" if count > len(names) else "")


def text(value: Any) -> str:
    return "none" if value is None else str(value)


def word(text: str) -> str:
    return shlex.quote(text)
