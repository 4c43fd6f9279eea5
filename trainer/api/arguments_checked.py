"""Arguments of the functions, checked: what the command line checks as it parses them."""

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trainer.errors import ConfigError
from trainer.output.units import parse_size

MAX_SIDE_PIXELS = 8192
MIN_SHARD_BYTES, MAX_SHARD_BYTES = 1 << 20, 16 << 30

Place = str | Path
"""A URL or a path."""
ImageSize = int | tuple[int, int]
"""A side, or (height, width), in pixels."""


def place(name: str, value: Any) -> str:
    """The text of a URL or a path. Raises ConfigError for anything else."""
    if isinstance(value, str | Path) and str(value):
        return os.fspath(value)
    raise ConfigError(f"{name}: expected a path or a URL, received {value!r}")


def fraction(name: str, value: Any) -> float | None:
    """Raises ConfigError unless it is None or a number from 0 to 1."""
    if value is None or (_is_number(value) and 0 <= value <= 1):
        return None if value is None else float(value)
    raise ConfigError(f"{name}: expected a number from 0 to 1, received {value!r}")


def whole(name: str, value: Any, least: int, most: int = 2**31 - 1) -> int:
    """Raises ConfigError unless it is an integer in this range."""
    if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
        return value
    raise ConfigError(f"{name}: expected an integer from {least} to {most}, received {value!r}")


def one_of(name: str, value: Any, known: Sequence[str]) -> Any:
    """Raises ConfigError unless it is one of the known values."""
    if value in known:
        return value
    raise ConfigError(f"{name}: expected {' or '.join(known)}, received {value!r}")


def sides(name: str, value: Any) -> tuple[int, int] | None:
    """(height, width) of a side or of both. Raises ConfigError for anything else."""
    if value is None:
        return None
    pair = tuple(value) if isinstance(value, list | tuple) else (value, value)
    if len(pair) != 2:
        raise ConfigError(f"{name}: expected a side or (height, width), received {value!r}")
    height, width = (whole(name, side, 1, MAX_SIDE_PIXELS) for side in pair)
    return height, width


def shard_bytes(value: Any) -> int:
    """Bytes of an integer or of a text such as 64MiB. Raises ConfigError."""
    try:
        size = parse_size(value) if isinstance(value, str) else whole("shard_size", value, 0, MAX_SHARD_BYTES)
    except ValueError:
        size = 0
    if not MIN_SHARD_BYTES <= size <= MAX_SHARD_BYTES:
        raise ConfigError(f"shard_size: expected a size from 1MiB to 16GiB, received {value!r}")
    return size


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
