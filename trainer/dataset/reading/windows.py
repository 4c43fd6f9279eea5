"""The loop over windows of rows, which are fetched ahead within a budget of memory."""

import math
import threading
from collections import deque
from collections.abc import Generator
from concurrent.futures import Future
from typing import NamedTuple

import numpy as np

from trainer.dataset.order import Order, Window
from trainer.dataset.reading.buffers import Buffers, copy_rows
from trainer.dataset.reading.fetch import Images, RowFetcher, Rows
from trainer.dataset.reading.fetching import Fetchers


class _Loading(NamedTuple):
    window: Window
    images: Images
    futures: list[Future[None]]


def steps_from_windows(
    order: Order,
    lanes: range,
    step: int,
    stop: int | None,
    stopped: threading.Event,
    *,
    fetcher: RowFetcher,
    shape: tuple[int, int, int],
    budget_bytes: int,
    threads: int,
) -> Generator[tuple[int, Rows, Images], None, None]:
    """The steps from `step` on, for ever or until `stop`, exclusive: each with its rows in `lanes`, int64
    (n,), and their images, uint8 (n, *shape), whose memory is used again once nobody holds them.

    The windows of the current step are held whatever the budget says. Raises what `RowFetcher.wait` does.
    """
    row_bytes = math.prod(shape)
    upcoming = order.windows(step, lanes, stop)
    following = next(upcoming, None)
    loading: deque[_Loading] = deque()
    current: dict[int, _Loading] = {}
    buffers = Buffers(shape)
    held = 0
    count = order.lane_rows
    with Fetchers(threads) as fetchers:
        while stop is None or step < stop:
            for lane in lanes:
                if lane in current and current[lane].window.stop_step <= step:
                    held -= current.pop(lane).images.nbytes
            while following is not None and (
                following.first_step <= step
                or (
                    held + len(following.rows) * row_bytes <= budget_bytes
                    and following.first_step < step + order.steps_per_epoch
                )
            ):
                images = buffers.take(len(following.rows))
                held += images.nbytes
                loading.append(_Loading(following, images, fetcher.fetch(fetchers, following.rows, images)))
                following = next(upcoming, None)
            while loading and loading[0].window.first_step <= step:
                entry = loading.popleft()
                fetcher.wait(entry.futures, stopped)
                current[entry.window.lane] = entry
            rows = np.empty(len(lanes) * count, np.int64)
            taken = buffers.take(len(rows))
            for place, lane in enumerate(lanes):
                window, into = current[lane].window, slice(place * count, (place + 1) * count)
                places = window.at(step, count)
                rows[into] = window.rows[places]
                copy_rows(current[lane].images, places, taken[into])
            yield step, rows, taken
            del taken
            step += 1
