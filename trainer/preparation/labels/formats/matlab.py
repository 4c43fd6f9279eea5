"""Variables of MATLAB files, read in a process of their own: scipy can crash on a damaged file.

`python -m trainer.preparation.labels.formats.matlab VARIABLE` reads a file from stdin and writes JSON.
"""

import io
import json
import sys
from typing import Any, NamedTuple

import numpy as np

from trainer.errors import ConfigError, DataError, one_line, shortened
from trainer.machine.sandbox import ProcessFailed, SandboxLimits, ask

_MEMORY_BYTES = 2 << 30
_SECONDS = 60
_DAMAGED = "Download it again"
_HDF5 = b"\x89HDF\r\n\x1a\n"


class Variable(NamedTuple):
    """`rows` are mappings of `fields` for an array of structures, else values; what is neither a number nor a
    text is None."""

    fields: tuple[str, ...]
    rows: list[Any]


def read_variable(where: str, data: bytes, name: str) -> Variable:
    """One variable of a file, flat. Raises DataError that names `where`, ConfigError without scipy."""
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
    if _HDF5 in data[:1024]:
        return _from_hdf5(data, name)
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
        reason = shortened(one_line(error))
        raise DataError(f"not a MATLAB file, or a damaged one ({reason})", _DAMAGED) from None
    if name not in found:
        return {}
    array = np.atleast_1d(found[name]).ravel()
    fields = list(array.dtype.names or ())
    rows = [{field: _plain(row[field]) for field in fields} if fields else _plain(row) for row in array]
    return {"fields": fields, "rows": rows}


def _from_hdf5(data: bytes, name: str) -> dict[str, Any]:
    """The variables of a MATLAB 7.3 file, which is HDF5: cells and structures refer to their values."""
    try:
        import h5py

        with h5py.File(io.BytesIO(data), "r") as file:
            if name not in file:
                return {}
            found = file[name]
            if not isinstance(found, h5py.Group):
                return {"fields": [], "rows": _values(file, found)}
            columns = {field: _values(file, found[field]) for field in found}
            rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
            return {"fields": list(columns), "rows": rows}
    except Exception as error:
        reason = shortened(one_line(error))
        raise DataError(f"not a MATLAB file, or a damaged one ({reason})", _DAMAGED) from None


def _values(file: Any, dataset: Any) -> list[Any]:
    """The values of an array, in MATLAB's order; a text is one."""
    if dataset.attrs.get("MATLAB_class") == b"char":
        return ["".join(map(chr, dataset[()].ravel().tolist()))]
    values = dataset[()].ravel()
    if dataset.dtype == object:  # references
        return [_plain(one[0]) if len(one := _values(file, file[value])) == 1 else None for value in values]
    return [_plain(value) for value in values]


def _plain(value: Any) -> Any:
    value = value.item() if isinstance(value, np.generic | np.ndarray) and value.size == 1 else value
    return value if isinstance(value, int | float | str) else None


if __name__ == "__main__":
    print(json.dumps(_answer(sys.stdin.buffer.read(), sys.argv[1])))
