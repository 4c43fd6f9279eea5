"""Look-ahead: byte ranges of the store -> arrays of images, in the order of the run."""

import copy
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import closing
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trainer.dataset.dataset import Dataset, Split
from trainer.dataset.order import BUDGET_BYTES, Order
from trainer.dataset.reading.buffers import Buffers
from trainer.dataset.reading.fetch import Images, ReadCounters, RowFetcher, Rows, Stopped
from trainer.dataset.reading.fetching import Fetchers
from trainer.dataset.reading.windows import steps_from_windows
from trainer.dataset.shards.ranges import RANGE_BYTES
from trainer.errors import ConfigError

_BLOCK_BYTES = 4 * RANGE_BYTES
_AHEAD_BYTES = 4 * _BLOCK_BYTES
"""Memory for rows in sequence: twice what the threads fetch at once."""


class Batch(NamedTuple):
    """Rows of one step, or of one stretch of an evaluation (`step` counts those then).

    `rows` int64 (n,), `images` uint8 (n, H, W, C), `labels` int32 (n,).
    """

    step: int
    rows: Rows
    images: Images
    labels: NDArray[np.int32]


class Reader:
    """The images of one rank.

    A split that `order` calls small is fetched once and stays in memory. Of a larger one the windows of
    `lanes` are fetched ahead, exactly their bytes, within `budget_bytes` (the windows of the current step
    are held whatever it says). For evaluation no order is needed.

    Iterators start their own threads, and end them when closed; another thread ends them with `stop`.
    What goes wrong in them is raised by the iterator: DataError for an object that changed or is missing,
    or the store's own errors.
    Raises ConfigError for a budget in which a small split does not fit.
    """

    def __init__(
        self,
        dataset: Dataset,
        split: Split,
        order: Order | None = None,
        lanes: range | None = None,
        *,
        budget_bytes: int = BUDGET_BYTES,
        threads: int = 8,
    ) -> None:
        self.dataset = dataset
        self.split = split
        self.counters = ReadCounters()
        self._order = order
        self._lanes = lanes
        self._budget = budget_bytes
        self._thread_count = threads
        self._shape = dataset.image_shape
        self._kept: tuple[range, Images] | None = None
        self._fetcher = RowFetcher(split, dataset.image_shape, self.counters)
        self._stops: set[threading.Event] = set()
        size = split.rows * split.row_bytes
        if order is not None and order.small and size > budget_bytes:
            raise ConfigError(
                f"the images of {split.name} do not fit: each rank keeps the split in memory "
                f"({size:,} bytes), and may use {budget_bytes:,} bytes (a quarter of the "
                "pod's memory, divided by its ranks)",
                "Raise the memory limit of the pod, or start fewer ranks in it",
            )

    @property
    def batch_rows(self) -> int:
        """The rows of this rank in each training batch."""
        return len(self._lanes or ()) * (self._order.lane_rows if self._order else 0)

    def batches(self, start_step: int, stop_step: int | None = None) -> Iterator[Batch]:
        """The batches of this rank from `start_step` on, for ever or until `stop_step`, exclusive."""
        if self._order is None or self._lanes is None:
            raise ValueError("expected a reader with an order and lanes, for training")
        source = self._from_memory if self._order.small else self._from_windows
        return self._stoppable(partial(source, self._order, self._lanes, start_step, stop_step))

    def batches_at(self, steps: Iterable[int]) -> Iterator[Batch]:
        """The batches of this rank in these steps alone, which ascend."""
        if self._order is None or self._lanes is None:
            raise ValueError("expected a reader with an order and lanes, for training")
        return self._stoppable(partial(self._single, self._order, self._lanes, steps))

    def for_lanes(self, lanes: range) -> "Reader":
        """A reader of other lanes, which shares the images that stay in memory.

        It has an order of its own, since an order remembers what it drew last.
        """
        reader = Reader(
            *(self.dataset, self.split, copy.deepcopy(self._order), lanes),
            budget_bytes=self._budget,
            threads=self._thread_count,
        )
        reader._kept = self._kept
        return reader

    def batches_of(self, rows: range, size: int) -> Iterator[Batch]:
        """Consecutive rows in batches of `size`, the last one shorter; `step` counts them from 0.

        Rows that fit into the budget stay in memory, for the next time.
        """
        small = len(rows) * self.split.row_bytes <= self._budget
        return self._stoppable(partial(self._from_kept if small else self._in_sequence, rows, size))

    def stop(self) -> None:
        """End every iterator that is under way, from any thread; one that waits for the store ends now."""
        for event in tuple(self._stops):
            event.set()

    def _stoppable(self, source: Callable[[threading.Event], Iterator[Batch]]) -> Iterator[Batch]:
        stopped = threading.Event()
        self._stops.add(stopped)
        try:
            for batch in source(stopped):
                if stopped.is_set():
                    return
                yield batch
        except Stopped:
            return
        finally:
            self._stops.discard(stopped)

    def _from_kept(self, rows: range, size: int, stopped: threading.Event) -> Iterator[Batch]:
        images = self._keep(rows, stopped) if rows else Buffers(self._shape).take(0)
        for step, start in enumerate(range(0, len(rows), size)):
            taken = np.arange(rows.start + start, min(rows.start + start + size, rows.stop))
            yield self._batch(step, taken, images[start : start + size])

    def _single(
        self, order: Order, lanes: range, steps: Iterable[int], stopped: threading.Event
    ) -> Iterator[Batch]:
        source = self._from_memory if order.small else self._from_windows
        for step in steps:
            yield from source(order, lanes, step, step + 1, stopped)

    def _from_memory(
        self, order: Order, lanes: range, step: int, stop: int | None, stopped: threading.Event
    ) -> Iterator[Batch]:
        images = self._keep(range(self.split.rows), stopped)
        buffers = Buffers(self._shape)
        while stop is None or step < stop:
            rows = order.rows(step, lanes)
            taken = np.take(images, rows, axis=0, out=buffers.take(len(rows)), mode="clip")
            yield self._batch(step, rows, taken)
            del taken
            step += 1

    def _keep(self, rows: range, stopped: threading.Event) -> Images:
        """Fetch consecutive rows, unless they are there from the last time."""
        if self._kept is None or self._kept[0] != rows:
            self._kept = None
            images = Buffers(self._shape).take(len(rows))
            with Fetchers(self._thread_count) as fetchers:
                self._fetcher.wait(
                    self._fetcher.fetch(fetchers, np.arange(rows.start, rows.stop), images), stopped
                )
            self._kept = (rows, images)
        return self._kept[1]

    def _from_windows(
        self, order: Order, lanes: range, step: int, stop: int | None, stopped: threading.Event
    ) -> Iterator[Batch]:
        steps = steps_from_windows(
            *(order, lanes, step, stop, stopped),
            fetcher=self._fetcher,
            shape=self._shape,
            budget_bytes=self._budget,
            threads=self._thread_count,
        )
        with closing(steps):
            for number, rows, images in steps:
                yield self._batch(number, rows, images)
                del rows, images

    def _in_sequence(self, rows: range, size: int, stopped: threading.Event) -> Iterator[Batch]:
        # Several batches at once, for ranges of a good size, where the budget has room for four such blocks.
        wanted = min(_BLOCK_BYTES, max(RANGE_BYTES, self._budget // 4))
        block = size * max(1, wanted // (size * self.split.row_bytes))
        ahead = max(2, min(self._budget, _AHEAD_BYTES) // (block * self.split.row_bytes))
        starts = deque(range(rows.start, rows.stop, block))
        buffers = Buffers(self._shape)
        loading: deque[tuple[Rows, Images, list[Future[None]]]] = deque()
        step = 0
        with Fetchers(self._thread_count) as fetchers:
            while starts or loading:
                while starts and len(loading) < ahead:
                    start = starts.popleft()
                    taken = np.arange(start, min(start + block, rows.stop))
                    images = buffers.take(len(taken))
                    loading.append((taken, images, self._fetcher.fetch(fetchers, taken, images)))
                taken, images, futures = loading.popleft()
                self._fetcher.wait(futures, stopped)
                for first in range(0, len(taken), size):
                    yield self._batch(step, taken[first : first + size], images[first : first + size])
                    step += 1

    def _batch(self, step: int, rows: Rows, images: Images) -> Batch:
        return Batch(step, rows, images, self.split.labels[rows].astype(np.int32))
