"""What each command prints for a person. `--json` prints the same values as JSON; see docs/json.md."""

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    pass

FEW_NAMES = 5
SHORT_ID = 12


def classes(names: Sequence[str]) -> str:
    more = len(names) - FEW_NAMES
    shown = ", ".join(names[:FEW_NAMES])
    return f"{len(names):,}: {shown}" + (f" and {more:,} more" if more > 0 else "")


def some(names: Sequence[str], what: str, count: int | None = None) -> str:
    return first(count or len(names), names[:FEW_NAMES], what)


def first(count: int, names: Sequence[str], what: str) -> str:
    return f"{count:,} {what}: {'; '.join(names)}" + (" …" if count > len(names) else "")


def text(value: Any) -> str:
    return "none" if value is None else str(value)


def word(text: str) -> str:
    return shlex.quote(text)
