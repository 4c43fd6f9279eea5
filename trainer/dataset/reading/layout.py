"""How the rows of a dataset are stored, and how they become images: pure, and without HDF5."""

import zlib
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from trainer.errors import DataError

Filter = Literal["shuffle", "deflate", "fletcher32"]
FILTERS: tuple[Filter, ...] = ("shuffle", "deflate", "fletcher32")
Axes = Literal["HWC", "CHW", "HW"]


@dataclass(frozen=True)
class Layout:
    """One chunk holds `per_chunk` whole rows, the last of a dataset also fewer, padded where it is filtered.

    Attributes:
        dtype: of a stored value, as NumPy writes it.
        scale: by what values become 0..255.
        axes: of a stored row; HW becomes three equal channels.
        filters: in the order in which HDF5 applied them when it wrote.
        last: whether the rows are the last axis, instead of the first; then all are one chunk.
    """

    dtype: str = "|u1"
    scale: float = 1.0
    axes: Axes = "HWC"
    filters: tuple[Filter, ...] = ()
    last: bool = False

    @property
    def plain(self) -> bool:
        """Whether the stored bytes are those of the images, row after row."""
        return self == Layout()

    def stored(self, shape: tuple[int, int, int]) -> tuple[int, ...]:
        """The axes of a stored row, for images of `shape`, (H, W, C)."""
        height, width, channels = shape
        return {"HWC": shape, "CHW": (channels, height, width), "HW": (height, width)}[self.axes]

    def row_bytes(self, shape: tuple[int, int, int]) -> int:
        """Bytes of a stored row, before filters."""
        return int(np.prod(self.stored(shape))) * np.dtype(self.dtype).itemsize

    def decode(
        self, data: memoryview, rows: int, shape: tuple[int, int, int], where: str
    ) -> NDArray[np.uint8]:
        """A chunk's bytes -> its images, uint8 (rows, H, W, C). Raises DataError that names `where`."""
        for name in reversed(self.filters):
            data = _undo(name, data, np.dtype(self.dtype).itemsize, where)
        stored = self.stored(shape)
        count = rows * int(np.prod(stored))
        if len(data) < count * np.dtype(self.dtype).itemsize:
            raise DataError(f"{where}: a chunk ends too soon", _DAMAGED)
        values = np.frombuffer(data, self.dtype, count)
        images = values.reshape(*stored, rows) if self.last else values.reshape(rows, *stored)
        if self.last:
            images = np.moveaxis(images, -1, 0)
        if self.axes == "CHW":
            images = images.transpose(0, 2, 3, 1)
        elif self.axes == "HW":
            images = np.repeat(images[..., None], shape[2], axis=3)
        return self._scaled(images, where)

    def _scaled(self, images: NDArray[Any], where: str) -> NDArray[np.uint8]:
        if images.dtype == np.uint8 and self.scale == 1:
            return np.ascontiguousarray(images)
        values = np.rint(images.astype(np.float64) * self.scale)
        wrong = ~((values >= 0) & (values <= 255))  # so that NaN is wrong too
        if wrong.any():
            row = int(np.flatnonzero(wrong.any(axis=(1, 2, 3)))[0])
            value = images[row][wrong[row]].flat[0]
            raise DataError(
                f"{where}: row {row} of the chunk has the value {value}, expected 0 to {255 / self.scale:g}",
                "Correct it, or make a dataset of the images: trainer prepare",
            )
        return np.ascontiguousarray(values, dtype=np.uint8)


PLAIN = Layout()

_DAMAGED = "Copy the file again, and index it again"


def _undo(name: Filter, data: memoryview, itemsize: int, where: str) -> memoryview:
    if name == "fletcher32":  # a checksum, which is not compared: objects are pinned by their etag
        return data[:-4]
    if name == "deflate":
        try:
            return memoryview(zlib.decompress(data))
        except zlib.error as error:
            raise DataError(f"{where}: a chunk cannot be decompressed ({error})", _DAMAGED) from None
    planes = np.frombuffer(data, np.uint8)
    whole = len(planes) // itemsize * itemsize
    restored = np.concatenate([planes[:whole].reshape(itemsize, -1).T.ravel(), planes[whole:]])
    return memoryview(restored).cast("B")
