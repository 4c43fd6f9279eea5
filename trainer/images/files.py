"""Which files are images, and the order of their names."""

import os
import re

from trainer.images.codec import SUFFIXES

_SYSTEM = frozenset({"__macosx", "@eadir", "#recycle", "$recycle.bin", "thumbnails"})
_DIGITS = re.compile("([0-9]+)")


def has_image_suffix(key: str) -> bool:
    return key.lower().endswith(SUFFIXES)


def is_hidden(key: str) -> bool:
    """Whether a name in a key begins with a dot, or is of what systems put beside files: resource forks,
    thumbnails, deleted files."""
    return key.startswith(".") or "/." in key or not _SYSTEM.isdisjoint(key.lower().split("/"))


def natural(text: str) -> tuple[list[str | int], str]:
    """What to sort by, so that 10 comes after 9."""
    return [int(part) if place % 2 else part for place, part in enumerate(_DIGITS.split(text))], text


def is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # links that go round in a circle
        return False
