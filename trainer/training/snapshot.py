"""A run's state at one step, in plain form: named arrays and plain values."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.errors import RunError
from trainer.training import plain
from trainer.training.flat import Bytes, Layout

FORMAT = 1
"""Of state.json and commit.json. A newer trainer reads older ones; an older one refuses newer ones."""


class Deferred(Mapping[str, NDArray[Any]]):
    """Arrays by name that are made when they are asked for, such as copies out of a device's memory."""

    def __init__(self, makers: Mapping[str, Callable[[], NDArray[Any]]]) -> None:
        self._makers = makers

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self._makers[name]()

    def __iter__(self) -> Iterator[str]:
        return iter(self._makers)

    def __len__(self) -> int:
        return len(self._makers)


@dataclass
class State:
    """Everything a run is after `step` steps.

    Saving reads `arrays` one at a time and keeps none: with `Deferred` no second live copy is ever held.
    `values` are JSON's kinds; NaN and the infinities survive, tuples come back as lists.
    """

    step: int
    arrays: Mapping[str, NDArray[Any]]
    values: dict[str, Any]


def describe(state: State, layout: Layout) -> bytes:
    """state.json: all of `state` except the arrays' bytes. Raises TypeError for values that are not plain."""
    document = {
        "format": FORMAT,
        "step": state.step,
        "arrays": layout.document(),
        "values": state.values,
    }
    return plain.dumps(document)


def read_description(data: bytes, where: str) -> tuple[Layout, int, dict[str, Any]]:
    """state.json -> layout, step, values. Raises RunError when it is of a newer format."""
    document = plain.loads(data)
    refuse_newer(document["format"], where)
    return Layout.read(document["arrays"]), document["step"], document["values"]


def refuse_newer(version: int, where: str) -> None:
    """Raises RunError, naming both versions, when `version` is newer than this code."""
    if version > FORMAT:
        raise RunError(
            f"{where} is of checkpoint format {version}, this trainer reads formats up to {FORMAT}",
            "Use the newer trainer that wrote it",
        )


def pack(state: State) -> bytes:
    """One flat message of a state, for sending it to other ranks."""
    layout = Layout.of(state.arrays)
    description = describe(state, layout)
    buffer: Bytes = np.zeros(layout.nbytes, np.uint8)
    layout.fill(buffer, state.arrays)
    return b"".join((len(description).to_bytes(8, "little"), description, buffer.data))


def unpack(message: bytes) -> State:
    """The state of `pack`; its arrays are writable views of one fresh buffer."""
    start = 8 + int.from_bytes(message[:8], "little")
    layout, step, values = read_description(message[8:start], "the message")
    buffer = np.frombuffer(message, np.uint8, offset=start).copy() if layout.nbytes else np.empty(0, np.uint8)
    return State(step, layout.views(buffer), values)
