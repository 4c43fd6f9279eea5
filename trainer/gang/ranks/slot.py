"""Which rank runs in which pod: pure."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Slot:
    """A rank's place; the names are Horovod's (`cross`: among the ranks with the same local number)."""

    rank: int
    size: int
    local_rank: int
    local_size: int
    cross_rank: int
    cross_size: int
    pod: int
