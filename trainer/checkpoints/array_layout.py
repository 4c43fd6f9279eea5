"""Named arrays laid out in one flat buffer, and views of them back out of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.errors import DataError

ALIGNMENT = 64
Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Place:
    """Where one array lies: `offset` in bytes from the start of the buffer, in C order."""

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
    """The places of a state's arrays, and the bytes that they take together."""

    places: tuple[Place, ...] = ()
    nbytes: int = 0

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[Any]]) -> "ArrayLayout":
        """Reads one array of `arrays` at a time and keeps none.

        Raises TypeError for arrays of Python objects or of records.
        """
        places, end = [], 0
        for name, array in arrays.items():
            place = Place(name, array.dtype, array.shape, -(-end // ALIGNMENT) * ALIGNMENT)
            dtype_name(place.dtype, name)
            places.append(place)
            end = place.offset + place.nbytes
        return cls(tuple(places), end)

    def fill(self, buffer: Bytes, arrays: Mapping[str, NDArray[Any]]) -> bool:
        """Copies `arrays` to their places, one at a time; False when they are not the layout's."""
        if len(arrays) != len(self.places):
            return False
        for place, (name, array) in zip(self.places, arrays.items(), strict=True):
            if (name, array.dtype, array.shape) != (place.name, place.dtype, place.shape):
                return False
            np.copyto(place.view(buffer), array)
        return True

    def views(self, buffer: Bytes) -> dict[str, NDArray[Any]]:
        """Every array by name, without a copy."""
        return {place.name: place.view(buffer) for place in self.places}

    def document(self) -> list[dict[str, Any]]:
        """Plain values that `read` takes back."""
        return [
            {"name": p.name, "dtype": dtype_name(p.dtype, p.name), "shape": list(p.shape), "offset": p.offset}
            for p in self.places
        ]

    @classmethod
    def read(cls, rows: list[dict[str, Any]]) -> "ArrayLayout":
        """Raises DataError for a dtype that is not known here."""
        places = tuple(
            Place(row["name"], dtype_named(row["dtype"]), tuple(row["shape"]), row["offset"]) for row in rows
        )
        return cls(places, max((p.offset + p.nbytes for p in places), default=0))


def dtype_name(dtype: np.dtype[Any], array: str) -> str:
    """NumPy's own spelling with the byte order (`<f4`), or an extension's name (`bfloat16`)."""
    if dtype.hasobject or dtype.fields is not None or (dtype.kind == "V" and dtype.isbuiltin != 2):
        raise TypeError(f"{array}: expected an array of numbers, flags or text, received dtype {dtype}")
    return dtype.name if dtype.isbuiltin == 2 else dtype.str


def dtype_named(name: str) -> np.dtype[Any]:
    """The dtype of `dtype_name`; bfloat16 and its like need ml_dtypes, which TensorFlow brings."""
    try:
        return np.dtype(name)
    except TypeError:
        pass
    try:
        import ml_dtypes

        found: np.dtype[Any] = np.dtype(getattr(ml_dtypes, name))
        return found
    except (ImportError, AttributeError, TypeError):
        raise DataError(
            f"the checkpoint holds an array of dtype {name}, which is not known here",
            "Install the package ml_dtypes of the versions that the run was made with",
        ) from None
