"""A store whose objects are read through a cache on disk."""

import threading
from typing import Any

from trainer.storage.base import Store
from trainer.storage.disk_cache import DiskCache, block_name

BLOCK_BYTES = 4 << 20


class CachedStore:
    """`get_range` with an etag reads whole blocks, and keeps them; all else goes to `store`."""

    def __init__(self, store: Store, cache: DiskCache, block_bytes: int = BLOCK_BYTES) -> None:
        self.url, self.cache = store.url, cache
        self._store, self._block = store, block_bytes
        self._sizes: dict[tuple[str, str], int] = {}
        self._lock = threading.Lock()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def get_range(
        self, key: str, start: int, stop: int, *, etag: str | None = None, into: memoryview | None = None
    ) -> memoryview:
        if etag is None or stop <= start:
            return self._store.get_range(key, start, stop, etag=etag, into=into)
        size = self._size(key, etag)
        if size is None or stop > size:
            return self._store.get_range(key, start, stop, etag=etag, into=into)
        view = memoryview(bytearray(stop - start)) if into is None else into.cast("B")
        for number in range(start // self._block, (stop - 1) // self._block + 1):
            first = number * self._block
            last = min(first + self._block, size)
            begin, end = max(start, first), min(stop, last)

            def fetch(first: int = first, last: int = last) -> memoryview:
                return self._store.get_range(key, first, last, etag=etag)

            self.cache.read(
                block_name(f"{self.url}/{key}", etag, number),
                begin - first,
                end - first,
                view[begin - start : end - start],
                fetch,
            )
        return view

    def _size(self, key: str, etag: str) -> int | None:
        """The object's size, asked for once; None where it is another object now."""
        with self._lock:
            if (key, etag) not in self._sizes:
                found = self._store.stat(key)
                if found.etag != etag:
                    return None
                self._sizes[key, etag] = found.size
            return self._sizes[key, etag]
