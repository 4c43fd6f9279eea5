"""Named arrays in one flat buffer, and views of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.errors import DataError

ALIGNMENT = 64
Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class ArraySlot:
    """The place of one array, in C order. `offset`: bytes from the start of the buffer."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    offset: int

    @property
    def nbytes(self) -> int:
        return self.dtype.itemsize * int(np.prod(self.shape, dtype=np.int64))

    def view(self, buffer: Bytes) -> NDArray[Any]:
        """The array inside `buffer`, without a copy."""
        return buffer[self.offset : self.offset + self.nbytes].view(self.dtype).reshape(self.shape)


@dataclass(frozen=True)
class ArrayLayout:
    """The slots of a state's arrays, and their bytes in total."""

    slots: tuple[ArraySlot, ...] = ()
    nbytes: int = 0

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[Any]]) -> "ArrayLayout":
        """The layout of `arrays`, which are read one at a time and not kept.

        Raises TypeError for arrays of Python objects or of records.
        """
        slots, end = [], 0
        for name, array in arrays.items():
            slot = ArraySlot(name, array.dtype, array.shape, -(-end // ALIGNMENT) * ALIGNMENT)
            dtype_name(slot.dtype, name)
            slots.append(slot)
            end = slot.offset + slot.nbytes
        return cls(tuple(slots), end)

    def fill(self, buffer: Bytes, arrays: Mapping[str, NDArray[Any]]) -> bool:
        """Copies `arrays` to their slots, one at a time; False if they do not have this layout."""
        if len(arrays) != len(self.slots):
            return False
        for slot, (name, array) in zip(self.slots, arrays.items(), strict=True):
            if (name, array.dtype, array.shape) != (slot.name, slot.dtype, slot.shape):
                return False
            np.copyto(slot.view(buffer), array)
        return True

    def views(self, buffer: Bytes) -> dict[str, NDArray[Any]]:
        """Every array by name, without a copy."""
        return {slot.name: slot.view(buffer) for slot in self.slots}

    def document(self) -> list[dict[str, Any]]:
        """The layout as plain values, for `read`."""
        return [
            {"name": s.name, "dtype": dtype_name(s.dtype, s.name), "shape": list(s.shape), "offset": s.offset}
            for s in self.slots
        ]

    @classmethod
    def read(cls, rows: list[dict[str, Any]]) -> "ArrayLayout":
        """The layout of `document`. Raises DataError for an unknown dtype."""
        slots = tuple(
            ArraySlot(row["name"], dtype_named(row["dtype"]), tuple(row["shape"]), row["offset"])
            for row in rows
        )
        return cls(slots, max((slot.offset + slot.nbytes for slot in slots), default=0))


def dtype_name(dtype: np.dtype[Any], array: str) -> str:
    """NumPy's own spelling with the byte order (`<f4`), or an extension's name (`bfloat16`)."""
    if dtype.hasobject or dtype.fields is not None or (dtype.kind == "V" and dtype.isbuiltin != 2):
        raise TypeError(f"{array}: expected an array of numbers, flags or text, received dtype {dtype}")
    return dtype.name if dtype.isbuiltin == 2 else dtype.str


def dtype_named(name: str) -> np.dtype[Any]:
    """The dtype of `dtype_name`; dtypes such as bfloat16 need ml_dtypes, which TensorFlow depends on."""
    try:
        return np.dtype(name)
    except TypeError:
        pass
    try:
        import ml_dtypes

        dtype: np.dtype[Any] = np.dtype(getattr(ml_dtypes, name))
        return dtype
    except (ImportError, AttributeError, TypeError):
        raise DataError(
            f"the checkpoint contains an array of the unknown dtype {name}",
            "Install the version of the package ml_dtypes that the run was trained with",
        ) from None
