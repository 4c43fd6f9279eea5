"""Rows of an HDF5 dataset -> a file of them, one after the other, as they are stored: bounded in memory."""

import os
from pathlib import Path
from typing import Any

import numpy as np

from trainer.preparation.hdf5.form import file_of

ROWS, ENDS = "rows", "ends.npy"
"""The rows' bytes, and where each ends, int64 (rows,), for those that are files."""
_BLOCK_BYTES = 32 << 20
_FILES = 64


def extract(dataset: Any, start: int, stop: int, *, last: bool, encoded: bool, folder: Path) -> None:
    """Write the rows [start, stop) into `folder`; `last`: they are the last axis."""
    with (folder / ROWS).open("wb") as file:
        if encoded:
            _write_files(dataset, start, stop, file, folder)
        elif last:
            _write_columns(dataset, start, stop, file.fileno())
        else:
            step = _step(dataset.nbytes // dataset.shape[0], dataset.chunks[0] if dataset.chunks else 1)
            for first in range(start, stop, step):
                file.write(np.ascontiguousarray(dataset[first : min(first + step, stop)]).data)


def _write_files(dataset: Any, start: int, stop: int, file: Any, folder: Path) -> None:
    lengths = []
    for first in range(start, stop, _FILES):
        for value in dataset[first : min(first + _FILES, stop)]:
            data = file_of(value)
            lengths.append(len(data))
            file.write(data)
    np.save(folder / ENDS, np.cumsum(np.array(lengths, np.int64)))


def _write_columns(dataset: Any, start: int, stop: int, descriptor: int) -> None:
    """Writes stretches of the first axis, each of which lies in one piece of each row."""
    length = dataset.shape[0]
    part = dataset.nbytes // length // dataset.shape[-1]
    step = _step(part * (stop - start), dataset.chunks[0] if dataset.chunks else 1)
    for first in range(0, length, step):
        values = dataset[first : min(first + step, length), ..., start:stop]
        values = np.ascontiguousarray(np.moveaxis(values, -1, 0))
        for row, own in enumerate(values):
            os.pwrite(descriptor, own.data, row * part * length + first * part)


def _step(each: int, chunk: int) -> int:
    """How many to read at once, in whole chunks where these are small enough."""
    step = max(1, _BLOCK_BYTES // max(1, each))
    return step - step % chunk if step > chunk else step
