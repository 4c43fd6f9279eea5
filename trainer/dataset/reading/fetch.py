"""How rows get into memory, by their encoding: byte ranges of the store -> arrays of images."""

import threading
import time
from concurrent.futures import Future, wait
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from trainer.dataset.dataset import Split
from trainer.dataset.reading.fetching import Fetchers
from trainer.dataset.shards.ranges import RANGE_BYTES, Range, byte_ranges, piece_ranges
from trainer.errors import DataError
from trainer.images.codec import decode_jpeg

Images = NDArray[np.uint8]
Rows = NDArray[np.int64]

_JPEG_RANGE_BYTES = 1 << 20
"""Small, for all cores to decode."""
_STOP_SECONDS = 0.1


@dataclass
class ReadCounters:
    """What a reader has done so far: bytes and ranges fetched, seconds that batches waited for them."""

    bytes_read: int = 0
    ranges_read: int = 0
    seconds_waited: float = 0.0


class Stopped(Exception):
    """`Reader.stop` was called."""


class RowFetcher:
    """Fetches rows of a split of images of `shape`, (H, W, C)."""

    def __init__(self, split: Split, shape: tuple[int, int, int], counters: ReadCounters) -> None:
        self._split, self._shape, self._counters = split, shape, counters
        self._lock = threading.Lock()

    def fetch(self, fetchers: Fetchers, rows: Rows, images: Images) -> list[Future[None]]:
        """Begin to fetch `rows` into `images`, (n, H, W, C)."""
        if self._split.jpeg:
            return self._fetch_jpegs(fetchers, rows, images)
        if not self._split.plain:
            return self._fetch_chunks(fetchers, rows, images)
        buffer = images.data.cast("B")
        ranges = byte_ranges(self._split.chunks, self._split.row_bytes, rows, RANGE_BYTES)
        return [fetchers.submit(partial(self._read, buffer, part)) for part in ranges]

    def _fetch_jpegs(self, fetchers: Fetchers, rows: Rows, images: Images) -> list[Future[None]]:
        """Exactly these rows, which are decoded by the threads that fetch them."""
        ranges = piece_ranges(self._split.chunks, self._split.pieces, rows, _JPEG_RANGE_BYTES)
        return [fetchers.submit(partial(self._decode_jpegs, rows, images, *found)) for found in ranges]

    def _decode_jpegs(self, rows: Rows, images: Images, part: Range, ends: Rows) -> None:
        data, start = self._split.read(part.number, part.start, part.stop), 0
        for place, end in enumerate(ends.tolist(), part.place):
            try:
                images[place] = decode_jpeg(data[start:end], self._shape)
            except ValueError as error:
                where = (
                    f"{self._split.objects[part.number].key}: row {int(rows[place])} of {self._split.name}"
                )
                raise DataError(f"{where}: {error}", "Prepare the dataset again") from None
            start = end
        self._count(part)

    def _fetch_chunks(self, fetchers: Fetchers, rows: Rows, images: Images) -> list[Future[None]]:
        """Whole chunks, which are decoded by the threads that fetch them."""
        numbers = np.searchsorted(self._split.chunks["first"], rows, side="right") - 1
        places = np.argsort(numbers, kind="stable")
        ends = np.flatnonzero(np.diff(numbers[places])) + 1
        return [
            fetchers.submit(partial(self._decode, int(numbers[own[0]]), rows, images, own))
            for own in np.split(places, ends)
            if len(own)
        ]

    def _decode(self, number: int, rows: Rows, images: Images, places: Rows) -> None:
        decoded = self._split.decode(number, self._shape)
        chunk = self._split.chunks[number]
        images[places] = decoded[rows[places] - int(chunk["first"])]
        with self._lock:
            self._counters.bytes_read += int(chunk["length"])
            self._counters.ranges_read += 1

    def _read(self, buffer: memoryview, part: Range) -> None:
        start = part.place * self._split.row_bytes
        into = buffer[start : start + part.stop - part.start]
        self._split.read(part.number, part.start, part.stop, into=into)
        self._count(part)

    def _count(self, part: Range) -> None:
        with self._lock:
            self._counters.bytes_read += part.stop - part.start
            self._counters.ranges_read += 1

    def wait(self, futures: list[Future[None]], stopped: threading.Event) -> None:
        """Return once all have ended. Raises Stopped, and what went wrong in them."""
        start = time.perf_counter()
        try:
            for future in futures:
                while not future.done():
                    if stopped.is_set():
                        raise Stopped
                    wait([future], _STOP_SECONDS)
                future.result()
        finally:
            self._counters.seconds_waited += time.perf_counter() - start
