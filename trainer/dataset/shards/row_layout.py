"""How the rows of an HDF5 object are stored, and how they become images: pure, and without HDF5."""

import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from trainer.errors import DataError

Filter = Literal["shuffle", "deflate", "fletcher32"]
FILTERS: tuple[Filter, ...] = ("shuffle", "deflate", "fletcher32")
Axes = Literal["HWC", "CHW", "HW", "CWH", "WHC", "WH"]
"""The last three are the first three as MATLAB stores them, whose columns follow each other."""
_COLUMNS = ("CWH", "WHC", "WH")
Piece = tuple[int, int]
"""The first byte of a piece in its chunk's bytes, and the one after its last."""

_CHECKSUM_BYTES = 4
_DAMAGED = "Copy the file again, and index it again"


@dataclass(frozen=True)
class RowLayout:
    """The stored form of images (H, W, C). A chunk, here, is what some whole rows are read from: a part of a
    dataset that lies in one piece, or those of HDF5's chunks that hold the rows, the pieces.

    Attributes:
        dtype: of a stored value, as NumPy writes it.
        scale: by what values become 0..255.
        axes: of a stored row; HW and WH become C equal channels.
        last: whether the rows are the last axis, instead of the first; a chunk then holds some columns.
        filters: in the order in which HDF5 applied them when it wrote.
        piece: the shape of HDF5's chunks, with their rows, and
        row: that of a row in the file; both empty where the bytes of rows follow each other.
        jpeg: whether each row is a JPEG file, and its piece.
    """

    dtype: str = "|u1"
    scale: float = 1.0
    axes: Axes = "HWC"
    last: bool = False
    filters: tuple[Filter, ...] = ()
    piece: tuple[int, ...] = ()
    row: tuple[int, ...] = ()
    jpeg: bool = False

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """From JSON."""
        lists = {name: tuple(values[name]) for name in ("filters", "piece", "row")}
        return cls(**{**values, **lists})

    @property
    def plain(self) -> bool:
        """Whether the stored bytes are those of the images, row after row."""
        return self == PLAIN

    @property
    def by_columns(self) -> bool:
        """Whether it is a form that trainers before version 3 of the index do not know."""
        return self.axes in _COLUMNS

    def row_bytes(self, shape: tuple[int, int, int]) -> int:
        """Bytes of a stored row of images of `shape`, before filters."""
        return math.prod(self._stored(shape)) * np.dtype(self.dtype).itemsize

    def least_bytes(self, shape: tuple[int, int, int]) -> int:
        """The minimum bytes of each row of a chunk in the object."""
        return 0 if self.filters or self.jpeg else self.row_bytes(shape)

    def values(
        self, data: memoryview, pieces: Sequence[Piece], rows: int, shape: tuple[int, int, int]
    ) -> NDArray[Any]:
        """A chunk's bytes -> what is stored, (rows, …). Raises ValueError for a damaged chunk."""
        stored, dtype = self._stored(shape), np.dtype(self.dtype)
        if self.piece:
            values = self._joined(data, pieces or [(0, len(data))], rows)
        elif len(data) < (count := rows * math.prod(stored)) * dtype.itemsize:
            raise ValueError("it ends too soon")
        else:
            values = np.frombuffer(data, dtype, count)
        if self.last:
            return np.moveaxis(values.reshape(*stored, rows), -1, 0)
        return values.reshape(rows, *stored)

    def decode(
        self,
        data: memoryview,
        pieces: Sequence[Piece],
        first: int,
        rows: int,
        shape: tuple[int, int, int],
        where: str,
    ) -> NDArray[np.uint8]:
        """A chunk's bytes -> its images, uint8 (rows, H, W, C).

        `pieces` are in the order of their places; none: it is all one. `first` is the number of its first
        row. Raises DataError, which names `where` and the row.
        """
        try:
            values = self.values(data, pieces, rows, shape)
        except ValueError as error:
            raise DataError(f"{where}: the chunk from row {first} on is damaged: {error}", _DAMAGED) from None
        if values.dtype != np.uint8 or self.scale != 1:
            values = self._scaled(values, first, where)
        values = values.transpose(0, *(1 + self.axes.index(axis) for axis in "HWC" if axis in self.axes))
        if "C" not in self.axes:
            values = np.repeat(values[..., None], shape[2], axis=3)
        return np.ascontiguousarray(values)

    def _stored(self, shape: tuple[int, int, int]) -> tuple[int, ...]:
        return tuple(shape["HWC".index(axis)] for axis in self.axes)

    def _joined(self, data: memoryview, pieces: Sequence[Piece], rows: int) -> NDArray[Any]:
        dtype, size = np.dtype(self.dtype), math.prod(self.piece)
        whole = (*self.row, rows) if self.last else (rows, *self.row)
        counts = [-(-length // part) for length, part in zip(whole, self.piece, strict=True)]
        values = np.empty(whole, dtype)
        for place, (start, stop) in zip(np.ndindex(*counts), pieces, strict=True):
            plain = _unfiltered(data[start:stop], self.filters, dtype.itemsize, size * dtype.itemsize)
            if len(plain) < size * dtype.itemsize:
                raise ValueError("it ends too soon")
            part = np.frombuffer(plain, dtype, size).reshape(self.piece)
            into = values[tuple(slice(p * c, (p + 1) * c) for p, c in zip(place, self.piece, strict=True))]
            into[:] = part[tuple(slice(length) for length in into.shape)]
        return values

    def _scaled(self, values: NDArray[Any], first: int, where: str) -> NDArray[np.uint8]:
        images = np.empty(values.shape, np.uint8)
        for row, stored in enumerate(values):  # one at a time, for the memory
            scaled = np.rint(stored.astype(np.float64) * self.scale)
            wrong = ~((scaled >= 0) & (scaled <= 255))  # NaN compares as neither
            if wrong.any():
                raise DataError(
                    f"{where}: row {first + row} has the value {stored[wrong].flat[0]:g}, expected "
                    f"0 to {255 / self.scale:g}",
                    "Correct it, or make a dataset of the images: trainer prepare",
                )
            images[row] = scaled
        return images


PLAIN = RowLayout()
JPEG = RowLayout(jpeg=True)


def _unfiltered(data: memoryview, filters: tuple[Filter, ...], itemsize: int, size: int) -> memoryview:
    """The `size` bytes of a chunk. Raises ValueError."""
    for name in reversed(filters):
        if name == "fletcher32":  # which is not compared: objects are pinned by their etag
            data = data[:-_CHECKSUM_BYTES]
        elif name == "deflate":
            data = _inflated(data, size + _CHECKSUM_BYTES)
        else:
            data = _unshuffled(data, itemsize)
    return data


def _inflated(data: memoryview, limit: int) -> memoryview:
    decompressor = zlib.decompressobj()
    try:
        inflated = decompressor.decompress(data, limit)
    except zlib.error as error:
        raise ValueError(f"deflate cannot read it ({error})") from None
    if decompressor.unconsumed_tail:
        raise ValueError("it is larger than the file says")
    return memoryview(inflated)


def _unshuffled(data: memoryview, itemsize: int) -> memoryview:
    """Byte b of all values lie together: back to value after value."""
    planes = np.frombuffer(data, np.uint8)
    whole = len(planes) // itemsize * itemsize
    if itemsize == 1:
        return data
    restored = np.concatenate([planes[:whole].reshape(itemsize, -1).T.ravel(), planes[whole:]])
    return restored.data.cast("B")
