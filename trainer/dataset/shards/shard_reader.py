"""Bytes of shards: of just the objects that were indexed, through a cache where there is one."""

import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import pairwise
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from trainer.dataset.shards.row_layout import PLAIN, RowLayout
from trainer.dataset.shards.shard_check import checked_etag
from trainer.errors import DataError
from trainer.storage import join, open_store, split_url
from trainer.storage.base import ObjectChanged, Store
from trainer.storage.disk_cache import Block, DiskCache

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Shard:
    """One HDF5 object; `key` is a URL where it is not in the dataset's own store.

    Its rows' names are `names_width` bytes each, UTF-8 padded with zero bytes, from byte `names_offset` on;
    it has none where that is 0.
    """

    key: str
    etag: str
    size: int
    sha256: str
    rows: int
    names_offset: int
    names_width: int
    layout: RowLayout = PLAIN

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """From JSON."""
        layout = values.get("layout")
        return cls(**{**values, "layout": PLAIN if layout is None else RowLayout.of(layout)})

    def document(self) -> dict[str, Any]:
        """JSON values; without the layout of `trainer prepare`, which older trainers do not know."""
        values = asdict(self)
        return {key: values[key] for key in values if key != "layout" or not self.layout.plain}

    @property
    def foreign(self) -> bool:
        """Whether `trainer index` found it, instead of `trainer prepare` having made it."""
        return "://" in self.key


class ShardReader:
    """Reads bytes of `objects`, from any number of threads. The cache holds the chunks of `chunks`."""

    def __init__(
        self, store: Store, objects: Sequence[Shard], chunks: NDArray[np.void], cache: DiskCache | None
    ) -> None:
        self._store, self._objects, self._chunks, self._cache = store, objects, chunks, cache
        self._etags: dict[int, str] = {}
        self._blocks: dict[int, NDArray[np.int64]] = {}
        self._stores: dict[str, Store] = {}
        self._lock = threading.Lock()

    def read(self, number: int, start: int, stop: int, into: memoryview | None = None) -> memoryview:
        """Bytes [start, stop) of object `number`; into `into` when given.

        An object of another etag, as each copy has, is read whole once, and is the same if its checksum is.
        Raises DataError for an object that is missing or another one.
        """
        if self._cache is None or not (blocks := self._blocks_of(number, start, stop)):
            return self._fetch(number, start, stop, into)
        view = memoryview(bytearray(stop - start)) if into is None else into
        shard = self._objects[number]
        self._cache.read(shard.sha256, blocks, start, stop, view, partial(self._fetch, number))
        return view

    def _blocks_of(self, number: int, start: int, stop: int) -> list[Block]:
        """The chunks that hold these bytes; none where there are others between."""
        with self._lock:
            if number not in self._blocks:
                chunks = self._chunks[self._chunks["object"] == number]
                table = np.stack([chunks["offset"], chunks["offset"] + chunks["length"]], axis=1).astype(
                    np.int64
                )
                self._blocks[number] = table[np.argsort(table[:, 0])]
            table = self._blocks[number]
        first = int(np.searchsorted(table[:, 1], start, side="right"))
        last = int(np.searchsorted(table[:, 0], stop, side="left"))
        ranges = [(int(begin), int(end)) for begin, end in table[first:last]]
        covered = ranges and ranges[0][0] <= start and ranges[-1][1] >= stop
        return ranges if covered and all(a[1] == b[0] for a, b in pairwise(ranges)) else []

    def _fetch(self, number: int, start: int, stop: int, into: memoryview | None = None) -> memoryview:
        shard = self._objects[number]
        store, key = self._location(shard)
        etag = self._etags.get(number, shard.etag)
        try:
            try:
                return store.get_range(key, start, stop, etag=etag, into=into)
            except ObjectChanged:
                etag = self._checked(number, etag)
            return store.get_range(key, start, stop, etag=etag, into=into)
        except ObjectChanged as error:
            raise DataError(
                f"{join(store.url, key)} is not the object that was indexed: its etag differs",
                "Restore it, or prepare the dataset again",
            ) from error
        except FileNotFoundError as error:
            raise DataError(
                f"{join(store.url, key)} is in the index, but not in the store",
                "Restore it, or prepare the dataset again",
            ) from error

    def _location(self, shard: Shard) -> tuple[Store, str]:
        if not shard.foreign:
            return self._store, shard.key
        folder, key = split_url(shard.key)
        if folder not in self._stores:
            self._stores[folder] = open_store(folder)
        return self._stores[folder], key

    def _checked(self, number: int, seen: str) -> str:
        """The etag that the object has now, if it is the one that was indexed."""
        with self._lock:
            if self._etags.get(number, seen) != seen:
                return self._etags[number]
            shard = self._objects[number]
            if not self._etags:
                log.warning(
                    "%s/%s: the etag differs from the index (the dataset was copied); verifying the "
                    "checksum of each such object once. `trainer index %s` does that for all processes",
                    *(self._store.url, shard.key, self._store.url),
                )
            self._etags[number] = checked_etag(*self._location(shard), shard.size, shard.sha256)
            return self._etags[number]
