"""Reads a file of weights in a process of its own: on a damaged file the HDF5 library can crash or hang.

The file goes in by standard input; out come a line of JSON and then the arrays' bytes one after another.
"""

import json
import math
import os
import resource
import subprocess
import sys
from typing import Any

import numpy as np

from trainer.errors import ConfigError
from trainer.models.weights_reader import SavedLayer, read_layers

MEMORY_BYTES = 4 * 2**30
"""Limit of the address space, besides eight times the file."""
CPU_SECONDS = 120


def read_layers_in_subprocess(data: bytes, source: str) -> list[SavedLayer]:
    """Does the same as `read_layers`, also where the library crashes or hangs. The arrays are read-only."""
    command = [sys.executable, "-m", "trainer.models.weights_subprocess", source]
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    # In a session of its own: a Ctrl-C at the terminal is for the trainer, which then ends as it has to.
    child = subprocess.run(command, input=data, capture_output=True, env=environment, start_new_session=True)
    if child.returncode:
        raise ConfigError(
            f"{source}: not a whole HDF5 file (reading it ended with {child.returncode})", "Fetch it again"
        )
    return _unpack(child.stdout)


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
    answer = json.loads(output[:place])
    if "problem" in answer:
        raise ConfigError(answer["problem"], answer["remedy"])
    layers = []
    for described in answer["layers"]:
        arrays: list[Any] = []
        for dtype, shape in described["arrays"]:
            array = np.frombuffer(output, dtype, math.prod(shape), place).reshape(shape)
            place += array.nbytes
            arrays.append(array)
        roles = tuple(described["roles"])
        layers.append(SavedLayer(described["name"], described["path"], tuple(arrays), roles))
    return layers


def _main(source: str) -> None:
    data = sys.stdin.buffer.read()
    memory = MEMORY_BYTES + 8 * len(data)
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        parts = _pack(read_layers(data, source))
    except ConfigError as error:
        parts = [json.dumps({"problem": error.problem, "remedy": error.remedy}).encode() + b"\n"]
    for part in parts:
        sys.stdout.buffer.write(part)


if __name__ == "__main__":
    _main(sys.argv[1])
