"""What each command prints for a person. `--json` prints the same values as JSON; see docs/json.md."""

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from trainer.output.units import abbreviate

if TYPE_CHECKING:
    pass

FEW_NAMES = 5


def classes(names: Sequence[str]) -> str:
    return f"{len(names):,}: {abbreviate(names, FEW_NAMES)}"


def some(names: Sequence[str], what: str, count: int | None = None) -> str:
    return first(count or len(names), names[:FEW_NAMES], what)


def first(count: int, names: Sequence[str], what: str) -> str:
    return f"{count:,} {what}: {'; '.join(names)}" + (" …" if count > len(names) else "")


def text(value: Any) -> str:
    return "none" if value is None else str(value)


def word(text: str) -> str:
    return shlex.quote(text)
