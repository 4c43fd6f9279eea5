"""One process that is the whole run."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
from numpy.typing import NDArray

LATER = "later"
"""The name of an exchange of a step that is not its first."""


class OneReplica:
    """A process that computes on one device: its only replica is the process itself."""

    replicas = 1

    def scope(self) -> AbstractContextManager[Any]:
        return nullcontext()

    def spread(self, rows: Any) -> Any:
        return rows

    def run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return function(*arguments)

    def parts(self, value: Any) -> tuple[Any, ...]:
        return (value,)

    def total(self, value: Any) -> Any:
        return value


class OneProcess:
    """The only rank: every sum over the ranks is the value itself."""

    size = 1
    rank = 0
    is_chief = True

    def exchange(self, flat: Any, name: str = "exchange") -> Any:
        return flat

    def exchange_began(self) -> float | None:
        return None

    def sum(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        return values

    def broadcast_bytes(self, data: bytes, root: int = 0) -> bytes:
        return data

    def barrier(self) -> None:
        pass


class Single(OneReplica, OneProcess):
    """One process, one device."""
