"""Memory for images that is used again: fresh pages cost more than what is copied into them."""

import sys

import numpy as np
from numpy.typing import NDArray

ALIGNED = 64
"""What TensorFlow takes over from NumPy without a copy begins at a multiple of so many bytes."""
_GRAIN = 1 << 20
_LARGER = 3
"""A block is used for less than it holds, but not for much less."""
_ONLY_HERE = 2
"""References to a block that nobody uses: the list's, and that of getrefcount's argument."""


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
