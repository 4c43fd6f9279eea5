"""What a step needs is asked for before what later steps need, also after a restore and over epochs."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from itertools import takewhile
from typing import Any

import pytest

from tests.dataset.reading.test_reader import order_of
from trainer.dataset.dataset import Dataset
from trainer.dataset.order import Order, Window
from trainer.dataset.reading.reader import Reader
from trainer.dataset.shards.ranges import RANGE_BYTES, byte_ranges
from trainer.storage import Store

pytestmark = pytest.mark.fast

LANES = range(1, 4)
Request = tuple[str, int, int]


class Recording:
    """A store that notes what it is asked for; other requests than `only` wait until released."""

    def __init__(self, store: Store, only: "list[Request] | None" = None) -> None:
        self._store, self.url, self._only = store, store.url, only
        self.asked: list[Request] = []
        self.changed = threading.Condition()
        self.released = threading.Event()

    def get_range(self, key: str, start: int, stop: int, **options: Any) -> memoryview:
        with self.changed:
            self.asked.append((key, start, stop))
            self.changed.notify_all()
        if self._only is not None and (key, start, stop) not in self._only:
            self.released.wait(30)
        return self._store.get_range(key, start, stop, **options)

    def was_asked_for(self, requests: list[Request]) -> bool:
        with self.changed:
            return self.changed.wait_for(lambda: set(requests) <= set(self.asked), 10)


def reader_of(dataset: Dataset, order: Order, store: Recording, threads: int) -> Reader:
    split = replace(dataset.split("train"), store=store)  # type: ignore[arg-type]
    return Reader(dataset, split, order, LANES, budget_bytes=8000, threads=threads)


def requests(dataset: Dataset, windows: Iterator[Window]) -> list[Request]:
    split = dataset.split("train")
    return [
        (split.objects[part.number].key, part.start, part.stop)
        for window in windows
        for part in byte_ranges(split.chunks, split.row_bytes, window.rows, RANGE_BYTES)
    ]


@pytest.mark.parametrize("start", [0, 7], ids=["start", "restore"])
def test_bytes_are_asked_for_in_the_order_in_which_steps_need_them(dataset: Dataset, start: int) -> None:
    order = order_of(dataset, 20, 5, small=False)
    stop = 2 * order.steps_per_epoch
    windows = list(order.windows(start, LANES, stop))
    steps = [max(start, window.first_step) for window in windows]
    assert steps == sorted(steps)
    assert [window.lane for window in windows[: len(LANES)]] == list(LANES), (
        "all lanes, each once, come first"
    )
    store = Recording(dataset.store)
    for _ in reader_of(dataset, order, store, threads=1).batches(start, stop):
        pass
    assert store.asked == requests(dataset, iter(windows))


def test_the_first_batch_after_a_restore_waits_for_no_later_step(dataset: Dataset) -> None:
    order = order_of(dataset, 20, 5, small=False)
    first = requests(dataset, takewhile(lambda window: window.first_step <= 7, order.windows(7, LANES)))
    store = Recording(dataset.store, only=first)
    batches = reader_of(dataset, order, store, threads=3).batches(7)
    assert next(batches).step == 7
    store.released.set()
    assert next(batches).step == 8


def test_the_head_of_the_next_epoch_is_read_ahead(dataset: Dataset) -> None:
    order = order_of(dataset, 20, 5, small=False)
    last = order.steps_per_epoch - 1
    store = Recording(dataset.store)
    batches = reader_of(dataset, order, store, threads=2).batches(0)
    for batch in batches:
        if batch.step == last:
            break
    head = takewhile(lambda window: window.first_step == last + 1, order.windows(last + 1, LANES))
    assert store.was_asked_for(requests(dataset, head)), "while the last batch of this one is in use"
