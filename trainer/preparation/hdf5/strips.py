"""Rows of HDF5 files by their numbers, also where only the HDF5 library can read them.

They are extracted in strips by a process of its own (see hdf5.child), into files of at most some 256 MiB; or
of all rows where they are the last axis, so that the file is read once. The last strips are kept.
"""

import os
import shutil
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trainer.dataset.shards.row_layout import RowLayout
from trainer.errors import EXIT_INVALID, DataError, TrainerError, TransientError
from trainer.output.units import size
from trainer.preparation.hdf5.extract import ENDS, ROWS
from trainer.preparation.hdf5.parts import LabelledRows
from trainer.preparation.hdf5.process import CHILD_SECONDS, ask

_STRIP_BYTES = 256 << 20
_STRIP_FILES = 2048
_KEPT_STRIPS = 2
_SLOWEST = 4 << 20
"""Bytes a second that extracting must reach, at least."""


class StripError(TrainerError):
    """Rows that the HDF5 library cannot read: not one bad image, but all that are left."""

    exit_code = EXIT_INVALID


@dataclass(frozen=True)
class SourceRows(LabelledRows):
    """A split's rows in one file, and their form; see `hdf5.form.Form`. The names of its images begin with
    `key`."""

    key: str
    shape: tuple[int, int, int]
    rows: int
    layout: RowLayout
    chunk_rows: int
    encoded: bool
    assumed: str

    @property
    def strip_rows(self) -> int:
        """How many rows are extracted together: whole chunks of them."""
        if self.encoded:
            wanted = _STRIP_FILES
        elif self.layout.last:
            free = shutil.disk_usage(tempfile.gettempdir()).free
            wanted = max(_STRIP_BYTES, free // (_KEPT_STRIPS + 1)) // self._row_bytes
        else:
            wanted = _STRIP_BYTES // self._row_bytes
        wanted = max(1, min(wanted, self.rows))
        return wanted - wanted % self.chunk_rows if wanted > self.chunk_rows else wanted

    @property
    def _row_bytes(self) -> int:
        return max(1, self.layout.row_bytes(self.shape))

    def bytes_of(self, rows: int) -> int:
        """The size of the file with these rows, where that is known."""
        return 0 if self.encoded else rows * self._row_bytes


class Strips:
    """Gives rows, from any number of threads; the last strips that were extracted are kept."""

    def __init__(self, parts: Mapping[str, SourceRows]) -> None:
        self._parts = parts
        self._sizes = {key: part.strip_rows for key, part in parts.items()}
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[str, int], _Strip] = OrderedDict()

    def strip_of(self, key: str, row: int) -> tuple[str, int]:
        return key, row // self._sizes[key]

    def load(self, key: str, row: int) -> bytes | NDArray[np.uint8]:
        """A row's file, or its pixels (H, W, 3). Raises DataError, and StripError."""
        part, place = self._parts[key], self.strip_of(key, row)
        with self._lock:
            if place not in self._kept:
                self._kept[place] = _Strip(part, place[1] * self._sizes[key], self._sizes[key])
                while len(self._kept) > _KEPT_STRIPS:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(place)
            strip = self._kept[place]
        data = strip.row(row)
        if part.encoded:
            return data
        layout = RowLayout(dtype=part.layout.dtype, scale=part.layout.scale, axes=part.layout.axes)
        where = f"{part.file['url']}: {part.images}"
        image: NDArray[np.uint8] = layout.decode(memoryview(data), (), row, 1, part.shape, where)[0]
        return image


class _Strip:
    """Rows in a file without a name, which is gone when nobody holds it."""

    def __init__(self, part: SourceRows, start: int, rows: int) -> None:
        stop = min(start + rows, part.rows)
        self._start = start
        question = {
            "task": "extract",
            "file": part.file,
            "images": part.images,
            "start": start,
            "stop": stop,
            "last": part.layout.last,
            "encoded": part.encoded,
            "seconds": CHILD_SECONDS + part.file["size"] / _SLOWEST,
            "cpu_seconds": int(CHILD_SECONDS + part.file["size"] / _SLOWEST),
        }
        needed = part.bytes_of(stop - start)
        with tempfile.TemporaryDirectory(prefix="trainer-", ignore_cleanup_errors=True) as folder:
            if needed > (free := shutil.disk_usage(folder).free):
                raise TransientError(
                    f"extracting rows needs {size(needed)} in {tempfile.gettempdir()}, where {size(free)} "
                    "are free",
                    "Free some space, or name another folder with TMPDIR",
                )
            try:
                ask(part.file["url"], question, Path(folder))
            except DataError as error:
                raise StripError(error.problem, error.remedy) from None
            self._file = os.open(Path(folder, ROWS), os.O_RDONLY)
            if part.encoded:
                self._ends = np.load(Path(folder, ENDS), allow_pickle=False)
            else:
                self._ends = np.arange(1, stop - start + 1) * part.bytes_of(1)

    def row(self, number: int) -> bytes:
        """The bytes of a row, by its number in the dataset."""
        place = number - self._start
        start = int(self._ends[place - 1]) if place else 0
        return os.pread(self._file, int(self._ends[place]) - start, start)

    def __del__(self) -> None:
        if hasattr(self, "_file"):
            os.close(self._file)
