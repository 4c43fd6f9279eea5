"""Numbers as people read them."""

import re
from collections.abc import Sequence

_SIZES = ("B", "KiB", "MiB", "GiB", "TiB")


def size(count: float) -> str:
    """Bytes: 512 B, 1.5 KiB, 64 MiB, 3.2 GiB."""
    power = 0
    while count >= 1024 and power < len(_SIZES) - 1:
        count, power = count / 1024, power + 1
    return f"{count:.1f} {_SIZES[power]}" if power and count < 100 else f"{count:.0f} {_SIZES[power]}"


def parse_size(text: str) -> int:
    """Bytes of 512, 64MiB or 1.5 GiB; a ValueError for anything else.

    >>> parse_size("64MiB")
    67108864
    """
    match = re.fullmatch(r"(\d{1,15}(?:\.\d{1,6})?)\s*([KMGT]iB|B)?", text, re.ASCII)
    if not match:
        raise ValueError(f"expected bytes such as 64MiB, received {text!r}")
    return int(float(match[1]) * 1024 ** _SIZES.index(match[2] or "B"))


def abbreviate(names: Sequence[object], limit: int, *, separator: str = ", ") -> str:
    """The first `limit` names, and how many more there are.

    >>> abbreviate(["cat", "dog", "owl", "pig"], 2)
    'cat, dog and 2 more'
    """
    first, more = separator.join(map(str, names[:limit])), len(names) - limit
    return f"{first}{separator.rstrip().rstrip(',')} and {more:,} more" if more > 0 else first


def shape(sides: Sequence[int]) -> str:
    """224 x 224 x 3."""
    return " x ".join(map(str, sides))


def span(seconds: float) -> str:
    """42 s, 12 min, 3 h 5 min, 2 d 4 h."""
    minutes, hours, days = seconds / 60, seconds / 3600, seconds / 86400
    if seconds < 100:
        return f"{max(0.0, seconds):.0f} s"
    if minutes < 100:
        return f"{minutes:.0f} min"
    if hours < 48:
        return f"{int(hours)} h {int(minutes) % 60} min"
    return f"{int(days)} d {int(hours) % 24} h"


def plural(count: int, noun: str) -> str:
    """1 image, 1,234 images, 2 classes."""
    ending = "es" if noun.endswith("s") else "s"
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}{ending}"
