"""A figure at the top of a page."""

from typing import NamedTuple


class Tile(NamedTuple):
    """A figure with its name, and what else there is to say of it."""

    name: str
    value: str
    remark: str = ""
