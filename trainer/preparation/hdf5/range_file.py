"""An object of a store as a file, for the HDF5 library."""

import io
from collections import OrderedDict
from typing import Any

from trainer.storage import open_store, split_url

_BLOCK, _BLOCKS = 256 << 10, 256
_DIRECT = 4 * _BLOCK
"""What is read at once from here on is one request, and not kept."""


class RangeFile(io.RawIOBase):
    """Blocks are fetched as they are read, and the last ones are kept; `size` in bytes."""

    def __init__(self, url: str, etag: str, size: int) -> None:
        folder, self._key = split_url(url)
        self._store, self._etag, self.size, self._place = open_store(folder), etag, size, 0
        self._blocks: OrderedDict[int, memoryview] = OrderedDict()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        self._place = offset + (0, self._place, self.size)[whence]
        return self._place

    def tell(self) -> int:
        return self._place

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        done = 0
        while done < len(view) and self._place < self.size:
            wanted = min(len(view) - done, self.size - self._place)
            number, start = divmod(self._place, _BLOCK)
            part = (
                self._block(number)[start : start + wanted]
                if wanted < _DIRECT
                else self.range(self._place, self._place + wanted)
            )
            view[done : done + len(part)] = part
            done += len(part)
            self._place += len(part)
        return done

    def range(self, start: int, stop: int) -> memoryview:
        """Bytes [start, stop), which are not kept."""
        return self._store.get_range(self._key, start, stop, etag=self._etag)

    def _block(self, number: int) -> memoryview:
        if number not in self._blocks:
            self._blocks[number] = self.range(number * _BLOCK, min((number + 1) * _BLOCK, self.size))
            while len(self._blocks) > _BLOCKS:
                self._blocks.popitem(last=False)
        self._blocks.move_to_end(number)
        return self._blocks[number]
