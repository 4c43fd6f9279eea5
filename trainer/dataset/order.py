"""The rows of each batch: a pure function of (seed, step), whatever the number of ranks.

A run has L lanes. In each epoch the rows are laid in a line and cut into L equal stretches, one a lane;
global batch b is the b-th B/L rows of every lane; a rank reads contiguous lanes. So the rows of a batch
do not depend on the ranks, and a rank reads about its own share of the bytes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainer.dataset.counter_rng import hashed, permutation
from trainer.errors import ConfigError, DataError

Rows = NDArray[np.int64]

SMALL_BYTES = 256 << 20
"""Up to here a split is shuffled by rows, and stays in memory."""
BUDGET_BYTES = 512 << 20
"""Memory for images, shared half and half by the windows of all lanes and by look-ahead."""

_ROWS, _BLOCKS, _ROTATION, _WINDOW = 1, 2, 3, 4


def default_lanes(batch_size: int, limit: int = 64) -> int:
    """The largest divisor of the global batch that is no more than `limit`."""
    return max(lanes for lanes in range(1, min(batch_size, limit) + 1) if batch_size % lanes == 0)


def lanes_of(rank: int, size: int, lanes: int, batch_size: int | None = None) -> range:
    """The contiguous lanes that `rank` of `size` reads: [rank L / N, (rank + 1) L / N).

    Raises ConfigError for more ranks than lanes; with the global batch it names the lanes to set.
    """
    if size > lanes:
        remedy = f"Set train.lanes to a divisor of train.batch_size of at least {size}"
        if batch_size is not None:
            enough = next((n for n in range(size, batch_size + 1) if batch_size % n == 0), None)
            remedy = (
                f"Set train.lanes: {enough}"
                if enough
                else f"Set train.batch_size to at least {size}, or start fewer ranks"
            )
        raise ConfigError(
            f"train.lanes: expected at least as many lanes as ranks ({size}), received {lanes}", remedy
        )
    return range(rank * lanes // size, (rank + 1) * lanes // size)


def evaluation_range(rows: int, rank: int, size: int) -> range:
    """The contiguous rows that `rank` of `size` evaluates; over all ranks each row exactly once."""
    return range(rows * rank // size, rows * (rank + 1) // size)


@dataclass(frozen=True)
class Window:
    """Consecutive rows of one lane in one epoch that are read together and shuffled among themselves.

    `rows` int64 (w,) in the order in which they are read; `shuffled` int64 (w,) indexes it in the order
    in which they are used: the first B/L belong to `first_step`, and so on until `stop_step`, exclusive.
    """

    lane: int
    first_step: int
    stop_step: int
    rows: Rows
    shuffled: Rows

    def at(self, step: int, count: int) -> Rows:
        """The places in `rows` of the `count` = B/L rows of `step`, int64 (count,)."""
        start = (step - self.first_step) * count
        return self.shuffled[start : start + count]


class Order:
    """The rows of every step.

    `block_rows` are the rows of each block of the split, in the rows' order, and `row_bytes` the bytes of
    an image. A split of up to `small_bytes` is shuffled row by row. A larger one by blocks: the line is
    the blocks in random order, rotated by a random number of rows, and each lane is shuffled within
    windows whose size depends on `budget_bytes` and the batch, never on the number of ranks.

    Raises DataError for a split smaller than a batch, ConfigError for lanes that do not divide it.
    """

    def __init__(
        self,
        block_rows: Sequence[int] | NDArray[np.integer],
        row_bytes: int,
        batch_size: int,
        lanes: int,
        seed: int,
        *,
        small_bytes: int = SMALL_BYTES,
        budget_bytes: int = BUDGET_BYTES,
    ) -> None:
        counts = np.asarray(block_rows, np.int64)
        self.total = int(counts.sum())
        self.batch_size = batch_size
        self.lanes = lanes
        self.seed = seed
        self.budget_bytes = budget_bytes
        if batch_size % lanes:
            raise ConfigError(
                f"train.lanes: expected a divisor of train.batch_size {batch_size}, received {lanes}",
                f"Set train.lanes: {default_lanes(batch_size, lanes)}",
            )
        self.steps_per_epoch = self.total // batch_size
        if not self.steps_per_epoch:
            raise DataError(
                f"the training split has {self.total} rows, fewer than one batch of {batch_size}",
                f"Set train.batch_size to at most {self.total}, or prepare more images",
            )
        self.lane_rows = batch_size // lanes
        self.small = self.total * row_bytes <= small_bytes
        self._stretch = self.total // lanes
        # In batches, so that the rows of a lane's batch always lie in one window.
        self._window = max(1, budget_bytes // 2 // (batch_size * row_bytes))
        self._counts = counts
        self._firsts = np.cumsum(counts) - counts
        self._lines: dict[int, tuple[Rows, Rows, int]] = {}
        self._shuffles: dict[int, tuple[tuple[int, int], Rows]] = {}

    def position(self, step: int) -> tuple[int, int]:
        """The epoch of a step and its batch within it, both from 0."""
        return divmod(step, self.steps_per_epoch)

    def rows(self, step: int, lanes: range) -> Rows:
        """The rows of a step that belong to `lanes`, lane by lane: int64 (len(lanes) B / L,)."""
        epoch, batch = self.position(step)
        if self.small:
            places = np.arange(batch * self.lane_rows, (batch + 1) * self.lane_rows)
        else:
            places = np.empty((len(lanes), self.lane_rows), np.int64)
            for place, lane in enumerate(lanes):
                first, start, shuffled = self._shuffled(epoch, batch, lane)
                offset = (batch - first) * self.lane_rows
                places[place] = start + shuffled[offset : offset + self.lane_rows]
        starts = np.arange(lanes.start, lanes.stop, dtype=np.int64)[:, None] * self._stretch
        return self._lookup(epoch, (starts + places).ravel())

    def windows(self, start_step: int, lanes: range, stop_step: int | None = None) -> Iterator[Window]:
        """The windows that the steps from `start_step` need, in the order of their first step, for ever
        or until `stop_step`, exclusive. Only for a split that is not small."""
        step = start_step
        while stop_step is None or step < stop_step:
            epoch, batch = self.position(step)
            stops = []
            for lane in lanes:
                first, stop, _ = self._block(batch, lane)
                if batch == first or step == start_step:
                    yield self._make(epoch, batch, lane)
                stops.append(stop)
            step = epoch * self.steps_per_epoch + min(stops)

    def _make(self, epoch: int, batch: int, lane: int) -> Window:
        first, stop, _ = self._block(batch, lane)
        _, start, shuffled = self._shuffled(epoch, batch, lane)
        places = lane * self._stretch + start + np.arange(len(shuffled))
        steps = epoch * self.steps_per_epoch
        return Window(lane, steps + first, steps + stop, self._lookup(epoch, places), shuffled)

    def _block(self, batch: int, lane: int) -> tuple[int, int, int]:
        """The batches [first, stop) of the window that holds `batch`, and its number.

        Each lane's windows begin at another batch, so that reading is even over the steps.
        """
        phase = lane * self._window // self.lanes
        number = (batch + phase) // self._window
        first = max(0, number * self._window - phase)
        return first, min((number + 1) * self._window - phase, self.steps_per_epoch), number

    def _shuffled(self, epoch: int, batch: int, lane: int) -> tuple[int, int, Rows]:
        """The first batch of a window, its first place in the lane, and its places in shuffled order."""
        first, stop, number = self._block(batch, lane)
        start = first * self.lane_rows
        # The last window takes the lane's rest too, so that no row is left out by its place.
        size = (self._stretch if stop == self.steps_per_epoch else stop * self.lane_rows) - start
        known, shuffled = self._shuffles.get(lane, (None, None))
        if known != (epoch, number) or shuffled is None:
            shuffled = permutation(size, _WINDOW, self.seed, epoch, lane, number)
            self._shuffles[lane] = ((epoch, number), shuffled)
        return first, start, shuffled

    def _lookup(self, epoch: int, places: Rows) -> Rows:
        """Places in the epoch's line -> rows of the split."""
        order, starts, rotation = self._line(epoch)
        if self.small:
            return order[places]
        places = (places + rotation) % self.total
        block = np.searchsorted(starts, places, side="right") - 1
        return self._firsts[order[block]] + places - starts[block]

    def _line(self, epoch: int) -> tuple[Rows, Rows, int]:
        if epoch not in self._lines:
            if self.small:
                line = (permutation(self.total, _ROWS, self.seed, epoch), np.empty(0, np.int64), 0)
            else:
                order = permutation(len(self._counts), _BLOCKS, self.seed, epoch)
                counts = self._counts[order]
                rotation = int(hashed(_ROTATION, self.seed, epoch) % np.uint64(self.total))
                line = (order, np.cumsum(counts) - counts, rotation)
            # This epoch, and the next, into which look-ahead reaches.
            self._lines = {known: kept for known, kept in self._lines.items() if abs(known - epoch) == 1}
            self._lines[epoch] = line
        return self._lines[epoch]
