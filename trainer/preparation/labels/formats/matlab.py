"""Variables of MATLAB files, read in a process of their own: scipy can crash on a damaged file.

`python -m trainer.preparation.labels.formats.matlab VARIABLE` reads a file from stdin and writes JSON.
"""

import io
import json
import sys
from typing import Any, NamedTuple

import numpy as np

from trainer.errors import ConfigError, DataError, one_line
from trainer.machine.sandbox import ProcessFailed, SandboxLimits, ask

_MEMORY_BYTES = 2 << 30
_SECONDS = 60
_DAMAGED = "Download it again"


class Variable(NamedTuple):
    """`rows` are mappings of `fields` for an array of structures, else values; what is neither a number nor a
    text is None."""

    fields: tuple[str, ...]
    rows: list[Any]


def read_variable(where: str, data: bytes, name: str) -> Variable:
    """One variable of a file, flat. Raises DataError that names `where`, ConfigError without scipy."""
    if data[:14] == b"MATLAB 7.3 MAT" or b"\x89HDF\r\n\x1a\n" in data[:1024]:
        raise DataError(
            f"{where}: expected a MATLAB file of version 7 or below, found 7.3 (HDF5)",
            "Save it in MATLAB with save(…, '-v7')",
        )
    limits = SandboxLimits(_SECONDS, _SECONDS, _MEMORY_BYTES + 8 * len(data))
    try:
        answer = json.loads(ask(__name__, [name], data=data, limits=limits))
    except ProcessFailed as error:
        raise DataError(f"{where}: a damaged MATLAB file (its reader {error})", _DAMAGED) from None
    except (ConfigError, DataError) as error:
        raise type(error)(f"{where}: {error.problem}", error.remedy) from None
    if "rows" not in answer:
        raise DataError(f"{where}: expected the variable {name}, found none", _DAMAGED)
    return Variable(tuple(answer["fields"]), answer["rows"])


def _answer(data: bytes, name: str) -> dict[str, Any]:
    try:
        from scipy.io import loadmat
    except ImportError:
        raise ConfigError(
            "MATLAB's files are read by scipy, which is not installed", "pip install scipy"
        ) from None
    try:
        found = loadmat(io.BytesIO(data), squeeze_me=True, variable_names=[name])
    except Exception as error:
        # Damage shows as errors of many kinds, TypeError and MemoryError among them.
        reason = one_line(error)[:100]
        raise DataError(f"not a MATLAB file, or a damaged one ({reason})", _DAMAGED) from None
    if name not in found:
        return {}
    array = np.atleast_1d(found[name]).ravel()
    fields = list(array.dtype.names or ())
    rows = [{field: _plain(row[field]) for field in fields} if fields else _plain(row) for row in array]
    return {"fields": fields, "rows": rows}


def _plain(value: Any) -> Any:
    value = value.item() if isinstance(value, np.generic | np.ndarray) and value.size == 1 else value
    return value if isinstance(value, int | float | str) else None


if __name__ == "__main__":
    print(json.dumps(_answer(sys.stdin.buffer.read(), sys.argv[1])))
