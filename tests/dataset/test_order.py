"""The same rows in the same batches, whoever reads them."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.dataset.order import Order, default_lanes, evaluation_range, lanes_of
from trainer.errors import EXIT_INVALID, ConfigError, DataError

pytestmark = pytest.mark.fast


@st.composite
def orders(draw: st.DrawFn, small: bool | None = None) -> Order:
    """Any order: few rows or many, of regular and of ragged chunks, small or in windows of any size."""
    lanes = draw(st.integers(1, 12))
    batch = lanes * draw(st.integers(1, 5))
    chunks = draw(st.lists(st.integers(1, 40), min_size=1, max_size=30))
    missing = batch - sum(chunks)
    if missing > 0:
        chunks.append(missing)
    small = draw(st.booleans()) if small is None else small
    budget = draw(st.integers(1, 20)) * batch * 2 * 7
    return Order(
        chunks, 7, batch, lanes, draw(st.integers(0, 2**31 - 1)), small_bytes=small << 40, budget_bytes=budget
    )


@settings(max_examples=60, deadline=None)
@given(orders(), st.data())
def test_the_rows_of_a_batch_do_not_depend_on_the_ranks(order: Order, data: st.DataObject) -> None:
    size = data.draw(st.integers(1, order.lanes))
    step = data.draw(st.integers(0, 3 * order.steps_per_epoch))
    parts = [order.rows(step, lanes_of(rank, size, order.lanes)) for rank in range(size)]
    whole = order.rows(step, range(order.lanes))
    assert len(whole) == order.batch_size
    np.testing.assert_array_equal(np.concatenate(parts), whole)


@settings(max_examples=60, deadline=None)
@given(orders(), st.integers(0, 5))
def test_each_row_comes_at_most_once_an_epoch_and_few_are_dropped(order: Order, epoch: int) -> None:
    steps = range(epoch * order.steps_per_epoch, (epoch + 1) * order.steps_per_epoch)
    rows = np.concatenate([order.rows(step, range(order.lanes)) for step in steps])
    assert len(np.unique(rows)) == len(rows)
    assert rows.min() >= 0
    assert rows.max() < order.total
    assert order.total - len(rows) < order.batch_size + order.lanes


@settings(max_examples=60, deadline=None)
@given(orders(small=False), st.data())
def test_windows_hold_the_rows_of_every_step_from_any_step_on(order: Order, data: st.DataObject) -> None:
    size = data.draw(st.integers(1, order.lanes))
    lanes = lanes_of(data.draw(st.integers(0, size - 1)), size, order.lanes)
    start = data.draw(st.integers(0, 2 * order.steps_per_epoch))
    stop = start + data.draw(st.integers(1, 2 * order.steps_per_epoch + 1))
    windows = list(order.windows(start, lanes, stop))
    assert [window.first_step for window in windows[len(lanes) :]] == sorted(
        window.first_step for window in windows[len(lanes) :]
    )
    for step in range(start, stop):
        held = {w.lane: w for w in windows if w.first_step <= step < w.stop_step}
        rows = [held[lane].rows[held[lane].at(step, order.lane_rows)] for lane in lanes]
        np.testing.assert_array_equal(np.concatenate(rows), order.rows(step, lanes))
    used = [w for w in windows if w.first_step < stop and w.stop_step > start]
    assert len(used) == len(windows)


@pytest.mark.parametrize("small_bytes", [0, 1 << 40])
def test_dropped_rows_differ_from_epoch_to_epoch(small_bytes: int) -> None:
    order = Order([10] * 100, 1, 96, 8, seed=3, small_bytes=small_bytes, budget_bytes=400)
    dropped = []
    for epoch in range(6):
        steps = range(epoch * order.steps_per_epoch, (epoch + 1) * order.steps_per_epoch)
        used = np.concatenate([order.rows(step, range(8)) for step in steps])
        dropped.append(frozenset(set(range(1000)) - set(used.tolist())))
    assert all(len(rows) == 40 for rows in dropped)
    assert len(set(dropped)) == 6
    assert len(frozenset.union(*dropped)) > 120


@pytest.mark.parametrize("small_bytes", [0, 1 << 40])
def test_epochs_and_seeds_differ(small_bytes: int) -> None:
    def first(seed: int, epoch: int) -> tuple[int, ...]:
        order = Order([16] * 64, 1, 64, 8, seed, small_bytes=small_bytes, budget_bytes=4096)
        return tuple(order.rows(epoch * order.steps_per_epoch, range(8)).tolist())

    seen = [first(seed, epoch) for seed, epoch in itertools.product(range(4), range(4))]
    assert len(set(seen)) == 16


def test_a_large_split_is_mixed_beyond_its_chunks() -> None:
    order = Order([50] * 200, 1, 100, 10, seed=1, small_bytes=0, budget_bytes=2 * 10 * 100)
    chunks = order.rows(0, range(10)) // 50
    assert len(np.unique(chunks)) >= 15


def test_a_rank_touches_few_chunks_beyond_its_share() -> None:
    order = Order([50] * 2000, 1, 256, 64, seed=1, small_bytes=0, budget_bytes=20_000)
    for rank in range(8):
        lanes = lanes_of(rank, 8, 64)
        windows = order.windows(0, lanes, order.steps_per_epoch)
        rows = np.unique(np.concatenate([window.rows for window in windows]))
        assert len(np.unique(rows // 50)) <= 2000 / 8 + 2
        assert len(rows) <= 1.01 * order.total / 8


def test_the_order_is_the_same_for_ever() -> None:
    """A run goes on after an upgrade with the rows it would have had: these figures may not change."""
    small = Order([100], 1, 10, 5, seed=7)
    assert small.rows(0, range(5)).tolist() == [98, 10, 46, 97, 51, 59, 71, 3, 11, 65]
    large = Order([10] * 10, 1, 10, 5, seed=7, small_bytes=0, budget_bytes=60)
    assert large.rows(13, range(5)).tolist() == [79, 76, 60, 89, 4, 6, 97, 96, 44, 46]


@pytest.mark.parametrize(
    ("batch", "lanes"), [(256, 64), (100, 50), (96, 48), (7, 7), (127, 1), (1, 1), (130, 26)]
)
def test_default_lanes_is_the_largest_divisor_up_to_64(batch: int, lanes: int) -> None:
    assert default_lanes(batch) == lanes
    expected = max(n for n in range(1, 65) if batch % n == 0)
    assert lanes == expected


@given(st.integers(0, 10_000), st.integers(1, 300))
def test_evaluation_reads_every_row_exactly_once(rows: int, size: int) -> None:
    parts = [evaluation_range(rows, rank, size) for rank in range(size)]
    assert list(itertools.chain(*parts)) == list(range(rows))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_more_ranks_than_lanes_names_the_lanes_to_set() -> None:
    with pytest.raises(
        ConfigError, match=r"at least as many lanes as ranks \(5\), received 4.*Set train.lanes: 6"
    ) as e:
        lanes_of(0, 5, 4, batch_size=12)
    assert e.value.exit_code == EXIT_INVALID
    with pytest.raises(ConfigError, match="batch_size to at least 13"):
        lanes_of(0, 13, 4, batch_size=12)
    with pytest.raises(ConfigError, match=r"divisor of train.batch_size of at least 5"):
        lanes_of(0, 5, 4)


def test_a_split_smaller_than_a_batch_says_what_to_set() -> None:
    with pytest.raises(DataError, match=r"has 9 rows, fewer than one batch of 10.*at most 9") as error:
        Order([9], 1, 10, 5, seed=1)
    assert error.value.exit_code == EXIT_INVALID


def test_lanes_must_divide_the_batch() -> None:
    with pytest.raises(ConfigError, match=r"divisor of train.batch_size 10, received 4.*Set train.lanes: 2"):
        Order([100], 1, 10, 4, seed=1)
