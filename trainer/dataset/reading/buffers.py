"""Memory for images that is used again: fresh pages cost more than what is copied into them."""

import sys

import numpy as np
from numpy.typing import NDArray

ALIGNED = 64
"""What TensorFlow takes over from NumPy without a copy begins at a multiple of this many bytes."""
_GRAIN = 1 << 20
_LARGER = 3
"""A block is used for less than it holds, but not for much less."""
_ONLY_HERE = 2
"""References to a block that nobody uses: the list's, and that of getrefcount's argument."""


_LARGE_ROW = 4 << 10


def copy_rows(images: NDArray[np.uint8], places: NDArray[np.int64], into: NDArray[np.uint8]) -> None:
    """Copy `images[places]`, uint8 (n, H, W, C), into an array of that shape; both contiguous.

    NumPy lets go of the interpreter for each copy, and then waits until the threads that fetch give it back;
    Python's own copy of bytes does not.
    """
    row = images[0].nbytes
    if row < _LARGE_ROW:
        np.take(images, places, axis=0, out=into, mode="clip")
        return
    source, target = images.data.cast("B"), into.data.cast("B")
    for number, place in enumerate(places.tolist()):
        target[number * row : (number + 1) * row] = source[place * row : (place + 1) * row]


class Buffers:
    """Gives out arrays, uint8 (n, *shape), whose memory was of arrays that nobody holds any more.

    For one thread. What is kept free is at most as much as was in use at once.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._shape = shape
        self._row = int(np.prod(shape))
        self._blocks: list[NDArray[np.uint8]] = []

    def take(self, rows: int) -> NDArray[np.uint8]:
        """An array of `rows` rows, with anything in it."""
        size = -(-(rows * self._row + ALIGNED) // _GRAIN) * _GRAIN
        free = [number for number in range(len(self._blocks)) if self._is_free(number)]
        fitting = [number for number in free if size <= self._blocks[number].size <= _LARGER * size]
        if fitting:
            block = self._blocks[min(fitting, key=lambda number: self._blocks[number].size)]
        else:
            for number in reversed(free):
                del self._blocks[number]
            block = np.empty(size, np.uint8)
            self._blocks.append(block)
        start = -block.ctypes.data % ALIGNED
        return block[start : start + rows * self._row].reshape(rows, *self._shape)

    def _is_free(self, number: int) -> bool:
        return sys.getrefcount(self._blocks[number]) == _ONLY_HERE
