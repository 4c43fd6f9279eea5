"""Variables of MATLAB files, read in a process of their own: scipy can crash on a damaged file.

`python -m trainer.preparation.labels.formats.matlab VARIABLE` reads a file from stdin and writes JSON.
"""

import io
import json
import resource
import signal
import subprocess
import sys
from typing import Any, NamedTuple

import numpy as np

from trainer.errors import ConfigError, DataError, one_line, shortened

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
    command = [sys.executable, "-m", __name__, name]
    try:
        done = subprocess.run(command, input=data, capture_output=True, timeout=_SECONDS)
    except subprocess.TimeoutExpired:
        raise DataError(f"{where}: a damaged MATLAB file (reading it does not end)", _DAMAGED) from None
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        why = signal.Signals(-done.returncode).name if done.returncode < 0 else f"code {done.returncode}"
        raise DataError(f"{where}: a damaged MATLAB file (its reader ended with {why})", _DAMAGED) from None
    if "scipy" in answer:
        raise ConfigError(
            f"{where}: MATLAB's files are read by scipy, which is not installed", "pip install scipy"
        )
    if "problem" in answer:
        reason = f"not a MATLAB file, or a damaged one ({answer['problem']})"
        raise DataError(f"{where}: {reason}", _DAMAGED)
    if "rows" not in answer:
        raise DataError(f"{where}: expected the variable {name}, found none", _DAMAGED)
    return Variable(tuple(answer["fields"]), answer["rows"])


def _main(name: str) -> None:
    data = sys.stdin.buffer.read()
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES + 8 * len(data),) * 2)
    resource.setrlimit(resource.RLIMIT_CPU, (_SECONDS, _SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    print(json.dumps(_answer(data, name)))


def _answer(data: bytes, name: str) -> dict[str, Any]:
    if _HDF5 in data[:1024]:
        return _from_hdf5(data, name)
    try:
        from scipy.io import loadmat
    except ImportError:
        return {"scipy": None}
    try:
        found = loadmat(io.BytesIO(data), squeeze_me=True, variable_names=[name])
    except Exception as error:
        # Damage shows as errors of many kinds, TypeError and MemoryError among them.
        return {"problem": shortened(one_line(error))}
    if name not in found:
        return {}
    array = np.atleast_1d(found[name]).ravel()
    fields = list(array.dtype.names or ())
    rows = [{field: _plain(row[field]) for field in fields} if fields else _plain(row) for row in array]
    return {"fields": fields, "rows": rows}


def _from_hdf5(data: bytes, name: str) -> dict[str, Any]:
    """Of MATLAB 7.3, whose files are HDF5: cells and structures are references to their values."""
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
        return {"problem": shortened(one_line(error))}


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
    _main(sys.argv[1])
