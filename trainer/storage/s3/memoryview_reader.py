"""Bodies of requests that are read from the caller's memory as they are sent."""

import io

READ_BYTES = 128 * 1024


class MemoryviewReader(io.RawIOBase):
    """A file over `view` (bytes) for boto3, which takes `bytes`, a second copy, or files.

    A read gives READ_BYTES at most: boto3 asks for a MiB to hash it, in each thread that sends.
    """

    def __init__(self, view: memoryview) -> None:
        self._view = view
        self._at = 0

    def __len__(self) -> int:
        return len(self._view)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: len(self._view)}[whence]
        self._at = max(0, start + offset)
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        left = max(0, len(self._view) - self._at)
        size = left if size is None or size < 0 else min(size, READ_BYTES)
        data = bytes(self._view[self._at : self._at + size])
        self._at += len(data)
        return data
