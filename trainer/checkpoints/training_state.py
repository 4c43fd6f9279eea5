"""A run's state at one step, independent of Keras: named arrays and JSON values."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.checkpoints import strict_json
from trainer.checkpoints.array_layout import ArrayLayout, Bytes
from trainer.errors import RunError

FORMAT = 1
"""The format of state.json and commit.json. A newer trainer reads older ones; an older one refuses newer
ones."""


@dataclass
class TrainingState:
    """The whole state of a run after `step` steps.

    Saving reads `arrays` one at a time and keeps none, so a mapping may create them on access. `values` are
    JSON values; NaN and the infinities are preserved, tuples become lists.
    """

    step: int
    arrays: Mapping[str, NDArray[Any]]
    values: dict[str, Any]


def describe(state: TrainingState, layout: ArrayLayout) -> bytes:
    """state.json: all of `state` except the arrays' bytes. Raises TypeError for values that JSON cannot
    hold."""
    document = {
        "format": FORMAT,
        "step": state.step,
        "arrays": layout.document(),
        "values": state.values,
    }
    return strict_json.dumps(document)


def read_description(data: bytes, where: str) -> tuple[ArrayLayout, int, dict[str, Any]]:
    """state.json -> layout, step, values. Raises RunError if it has a newer format."""
    document = strict_json.loads(data)
    refuse_newer(document["format"], where)
    return ArrayLayout.read(document["arrays"]), document["step"], document["values"]


def refuse_newer(version: int, where: str) -> None:
    """Raises RunError, with both versions, if `version` is newer than this code."""
    if version > FORMAT:
        raise RunError(
            f"{where} has checkpoint format {version}; this trainer reads formats up to {FORMAT}",
            "Use the newer trainer that wrote it",
        )


def pack(state: TrainingState) -> bytes:
    """A state as one flat message, to send to other ranks."""
    layout = ArrayLayout.of(state.arrays)
    description = describe(state, layout)
    buffer: Bytes = np.zeros(layout.nbytes, np.uint8)
    layout.fill(buffer, state.arrays)
    return b"".join((len(description).to_bytes(8, "little"), description, buffer.data))


def unpack(message: bytes) -> TrainingState:
    """The state of `pack`; its arrays are writable views of one new buffer."""
    start = 8 + int.from_bytes(message[:8], "little")
    layout, step, values = read_description(message[8:start], "the message")
    buffer = np.frombuffer(message, np.uint8, offset=start).copy() if layout.nbytes else np.empty(0, np.uint8)
    return TrainingState(step, layout.views(buffer), values)
