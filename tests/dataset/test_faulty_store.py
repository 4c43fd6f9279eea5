"""A store that fails in one of ten requests, or whose objects change, and a cache that is damaged."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import use_s3
from tests.dataset.conftest import make_folders
from tests.dataset.test_cached_reader import Recorded
from tests.storage import faulty
from trainer.dataset.index import Dataset, Split, open_dataset
from trainer.dataset.order import Order
from trainer.dataset.preparation.prepare import prepare
from trainer.dataset.reader import Reader
from trainer.errors import DataError
from trainer.storage import open_store
from trainer.storage.disk_cache import DiskCache

TENTH = {
    faulty.slow_down: 0.02,
    faulty.internal_error: 0.02,
    faulty.bad_gateway: 0.01,
    faulty.reset: 0.02,
    faulty.cut_in_half: 0.03,
    faulty.delay: 0.02,
}


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_folders(tmp_path_factory.mktemp("faulty"), {"cat": 200, "dog": 200})


@pytest.fixture
def url(s3: str, images: Path) -> str:
    prepare(str(images), f"{s3}/data", shard_bytes=5000, rows_of_chunk=5, validation=0)
    return f"{s3}/data"


@pytest.fixture
def proxy(url: str, moto: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[faulty.FaultyProxy]:
    """Between the dataset and its readers."""
    with faulty.faulty_proxy(moto) as proxy:
        use_s3(monkeypatch, proxy.url)
        yield proxy


def epochs(
    dataset: Dataset, count: int = 1, *, small: bool = False
) -> Iterator[tuple[list[int], np.ndarray]]:
    """The rows of each epoch in the order of training, and their images."""
    split = dataset.split("train")
    order = Order(
        split.chunks["rows"], split.row_bytes, 20, 5, 1, small_bytes=int(small) << 30, budget_bytes=3000
    )
    reader = Reader(dataset, split, order, range(5), budget_bytes=1 << 20)
    batches = reader.batches(0)
    for _ in range(count):
        taken = [next(batches) for _ in range(order.steps_per_epoch)]
        yield (
            [row for batch in taken for row in batch.rows.tolist()],
            np.concatenate([b.images for b in taken]),
        )
    reader.stop()


def expected(dataset: Dataset) -> np.ndarray:
    (batch,) = Reader(dataset, dataset.split("train")).batches_of(range(400), 400)
    return batch.images


@pytest.mark.parametrize("cached", [False, True])
def test_one_request_in_ten_fails_and_each_row_comes_once(
    cached: bool, url: str, proxy: faulty.FaultyProxy, tmp_path: Path
) -> None:
    right = expected(open_dataset(url))
    proxy.spoil_at_random(3, TENTH)
    before = len(proxy.seen)
    dataset = open_dataset(url, cache=DiskCache(tmp_path, 1 << 30) if cached else None)
    for rows, images in epochs(dataset, 2):
        assert sorted(rows) == list(range(400))
        np.testing.assert_array_equal(images, right[rows])
    assert len(proxy.seen) - before > (60 if cached else 150)


@pytest.mark.parametrize("cached", [False, True])
def test_an_object_that_changes_in_mid_run_is_named(cached: bool, url: str, tmp_path: Path) -> None:
    dataset = open_dataset(url, cache=DiskCache(tmp_path, 5000) if cached else None)
    key = dataset.split("train").objects[3].key
    store = open_store(url)
    changed = bytearray(store.get(key))
    changed[-1] ^= 1
    seen = epochs(dataset, 3)
    next(seen)
    store.put(key, bytes(changed))
    with pytest.raises(DataError, match=f"{key} is not what was prepared: its checksum differs"):
        list(seen)


def garbage(block: Path) -> None:
    block.write_bytes(b"\x07" * block.stat().st_size)


def torn(block: Path) -> None:
    block.write_bytes(block.read_bytes()[: block.stat().st_size // 2])


def empty(block: Path) -> None:
    block.write_bytes(b"")


@pytest.mark.parametrize("damage", [garbage, torn, empty, Path.unlink])
def test_a_damaged_cache_gives_the_right_images(
    damage: Callable[[Path], None], dataset: Dataset, tmp_path: Path
) -> None:
    split = dataset.split("train")

    def read() -> np.ndarray:
        own = open_dataset(dataset.url, cache=DiskCache(tmp_path, 1 << 30))
        return np.concatenate(
            [b.images for b in Reader(own, own.split("train")).batches_of(range(split.rows), 64)]
        )

    right = read()
    blocks = [path for path in tmp_path.rglob("*") if path.is_file() and path.stat().st_size > 0]
    for block in blocks:
        damage(block)
    assert len(blocks) > 20
    np.testing.assert_array_equal(read(), right)


def rows_of(split: Split, recorded: Recorded) -> Iterator[list[int]]:
    """The rows in each range that was asked for."""
    for key, start, stop in recorded.ranges:
        number = [shard.key for shard in split.objects].index(key)
        chunks = split.chunks[split.chunks["object"] == number]
        within = chunks[(chunks["offset"] < stop) & (chunks["offset"] + chunks["length"] > start)]
        rows: list[int] = []
        for chunk in within:
            skipped = (
                np.arange(chunk["rows"]) * split.row_bytes + int(chunk["offset"]) - start
            ) // split.row_bytes
            inside = (skipped >= 0) & (skipped < (stop - start) // split.row_bytes)
            rows += (int(chunk["first"]) + np.flatnonzero(inside)).tolist()
        yield rows


def test_a_step_is_fetched_before_the_next_also_after_a_restore(dataset: Dataset) -> None:
    """Recorded on the requests themselves: the first ones hold what the first step needs, and so on."""
    split = dataset.split("train")
    recorded = Recorded(dataset.store)
    own = replace(dataset, splits={"train": replace(split, store=recorded)})
    order = Order(split.chunks["rows"], split.row_bytes, 20, 5, 1, small_bytes=0, budget_bytes=3000)
    for first in (0, 7, order.steps_per_epoch - 1):
        recorded.ranges.clear()
        steps = range(first, min(first + 8, order.steps_per_epoch))
        reader = Reader(own, own.splits["train"], order, range(5), budget_bytes=1 << 20, threads=1)
        assert len(list(reader.batches(first, first + 8))) == 8
        when: dict[int, int] = {}
        for place, rows in enumerate(rows_of(split, recorded)):
            for row in rows:
                when.setdefault(row, place)
        last = [max(when[row] for row in order.rows(step, range(5)).tolist()) for step in steps]
        assert last == sorted(last)
        assert last[0] < 15, "five windows, of which each may lie in several chunks"
        if len(steps) < 8:
            assert len({row for rows in rows_of(split, recorded) for row in rows}) > 100, (
                "the next epoch's head"
            )
