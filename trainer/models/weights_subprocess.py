"""Reads a file of weights in a process of its own: on a damaged file the HDF5 library can crash or hang.

The file goes in by standard input; out come a line of JSON and then the arrays' bytes one after another.
"""

import json
import math
import sys
from typing import Any

import numpy as np

from trainer.errors import ConfigError
from trainer.machine.sandbox import ProcessFailed, SandboxLimits, ask
from trainer.models.weights_reader import SavedLayer, read_layers

MEMORY_BYTES = 4 * 2**30
"""Limit of the address space, besides eight times the file."""
CPU_SECONDS = 120
WALL_SECONDS = 600.0
_MODULE = __name__


def read_layers_in_subprocess(data: bytes, source: str) -> list[SavedLayer]:
    """Does the same as `read_layers`, also where the library crashes or hangs. The arrays are read-only."""
    memory = MEMORY_BYTES + 8 * len(data)
    try:
        answer = ask(_MODULE, [source], data=data, limits=SandboxLimits(WALL_SECONDS, CPU_SECONDS, memory))
    except ProcessFailed as error:
        raise ConfigError(f"{source}: not a whole HDF5 file (reading it {error})", "Fetch it again") from None
    return _unpack(answer)


def _pack(layers: list[SavedLayer]) -> list[bytes]:
    described = [
        {
            "name": layer.name,
            "path": layer.path,
            "roles": layer.roles,
            "arrays": [[array.dtype.str, array.shape] for array in layer.arrays],
        }
        for layer in layers
    ]
    header = json.dumps({"layers": described}).encode() + b"\n"
    return [header, *(array.tobytes() for layer in layers for array in layer.arrays)]


def _unpack(output: bytes) -> list[SavedLayer]:
    place = output.index(b"\n") + 1
    layers = []
    for described in json.loads(output[:place])["layers"]:
        arrays: list[Any] = []
        for dtype, shape in described["arrays"]:
            array = np.frombuffer(output, dtype, math.prod(shape), place).reshape(shape)
            place += array.nbytes
            arrays.append(array)
        roles = tuple(described["roles"])
        layers.append(SavedLayer(described["name"], described["path"], tuple(arrays), roles))
    return layers


def _main(source: str) -> None:
    for part in _pack(read_layers(sys.stdin.buffer.read(), source)):
        sys.stdout.buffer.write(part)


if __name__ == "__main__":
    _main(sys.argv[1])
