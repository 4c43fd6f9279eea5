"""The bounds of a number, as generated pages write them."""

from collections.abc import Iterable
from typing import Any


def bounds(metadata: Iterable[Any]) -> list[str]:
    """Such as ["≥ 1", "≤ 1,024"], from the limits of a pydantic field."""
    return [
        f"{sign} {value:,}" if isinstance(value, int) else f"{sign} {value}"
        for limit in metadata
        for sign, name in (("≥", "ge"), (">", "gt"), ("≤", "le"), ("<", "lt"))
        if (value := getattr(limit, name, None)) is not None
    ]
