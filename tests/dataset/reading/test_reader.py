"""Reading ahead gives what HDF5 gives, and reads little more than a rank's share."""

import threading
import weakref
from pathlib import Path
from urllib.parse import urlparse

import h5py
import numpy as np
import pytest

from tests.datasets import make_folders
from trainer.dataset.dataset import Dataset
from trainer.dataset.open_dataset import open_dataset
from trainer.dataset.order import Order, lanes_of
from trainer.dataset.reading.buffers import Buffers
from trainer.dataset.reading.reader import Reader
from trainer.errors import EXIT_INVALID, ConfigError, DataError
from trainer.preparation.prepare import prepare


def with_h5py(dataset: Dataset, name: str) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """A split's images, labels and names, read by HDF5 from its files."""
    root = Path(urlparse(dataset.url).path)
    images, labels, names = [], [], []
    for shard in dataset.splits[name].objects:
        with h5py.File(root / shard.key) as file:
            images.append(file["images"][:])
            labels.append(file["labels"][:])
            names += [value.decode() for value in file["names"][:]]
    return np.concatenate(images), np.concatenate(labels), names


def order_of(dataset: Dataset, batch: int, lanes: int, *, small: bool, budget_bytes: int = 8000) -> Order:
    split = dataset.splits["train"]
    return Order(
        split.chunks["rows"],
        split.row_bytes,
        batch,
        lanes,
        seed=5,
        small_bytes=1 << 40 if small else 0,
        budget_bytes=budget_bytes,
    )


def share(order: Order, rank: int, size: int) -> range:
    return lanes_of(rank, size, order.lanes)


@pytest.mark.parametrize("small", [True, False])
@pytest.mark.parametrize("size", [1, 3])
def test_batches_are_what_hdf5_holds(dataset: Dataset, small: bool, size: int) -> None:
    images, labels, _ = with_h5py(dataset, "train")
    order = order_of(dataset, 20, 5, small=small)
    for rank in range(size):
        lanes = share(order, rank, size)
        reader = Reader(dataset, dataset.splits["train"], order, lanes, budget_bytes=100_000, threads=3)
        steps = 0
        for step, batch in enumerate(reader.batches(7, 60), start=7):
            assert batch.step == step
            np.testing.assert_array_equal(batch.rows, order.rows(step, lanes))
            np.testing.assert_array_equal(batch.images, images[batch.rows])
            np.testing.assert_array_equal(batch.labels, labels[batch.rows])
            assert len(batch.rows) == reader.batch_rows
            assert batch.labels.dtype == np.int32
            steps += 1
        assert steps == 53


@pytest.mark.parametrize("budget", [10_000, 1 << 30])
def test_rows_in_sequence_are_what_hdf5_holds(dataset: Dataset, budget: int) -> None:
    images, labels, _ = with_h5py(dataset, "train")
    reader = Reader(dataset, dataset.splits["train"], budget_bytes=budget)
    for _ in range(2):
        batches = list(reader.batches_of(range(33, 401), 50))
        assert [len(batch.rows) for batch in batches] == [50] * 7 + [18]
        assert [batch.step for batch in batches] == list(range(8))
        np.testing.assert_array_equal(np.concatenate([b.images for b in batches]), images[33:401])
        np.testing.assert_array_equal(np.concatenate([b.labels for b in batches]), labels[33:401])
    assert not list(reader.batches_of(range(5, 5), 50))
    kept = budget == 1 << 30
    assert reader.counters.bytes_read == images[33:401].nbytes * (1 if kept else 2)


def test_names_are_read_by_row(dataset: Dataset) -> None:
    _, _, names = with_h5py(dataset, "train")
    rows = np.array([0, 419, 200, 3, 200])
    assert dataset.splits["train"].names(rows) == [names[row] for row in rows]
    assert dataset.splits["train"].names(np.array([], np.int64)) == []


@pytest.mark.parametrize("size", [1, 2, 4, 7])
def test_a_rank_reads_little_more_than_its_share(dataset: Dataset, size: int) -> None:
    order = order_of(dataset, 24, 8, small=False)
    split = dataset.splits["train"]
    for rank in range(size):
        lanes = share(order, rank, size)
        reader = Reader(dataset, split, order, lanes)
        assert sum(1 for _ in reader.batches(0, order.steps_per_epoch)) == order.steps_per_epoch
        fair = split.rows * split.row_bytes * len(lanes) / order.lanes
        assert 0.9 * fair <= reader.counters.bytes_read <= 1.1 * fair


def test_a_small_split_is_fetched_once(dataset: Dataset) -> None:
    order = order_of(dataset, 20, 5, small=True)
    reader = Reader(dataset, dataset.splits["train"], order, range(5))
    for _ in range(2):
        assert sum(1 for _ in reader.batches(0, 100)) == 100
    assert reader.counters.bytes_read == dataset.splits["train"].rows * 60
    assert reader.counters.ranges_read < len(dataset.splits["train"].chunks)


def test_an_object_that_changed_is_named(tmp_path: Path) -> None:
    make_folders(tmp_path / "images", {"cat": 20, "dog": 20})
    prepare(str(tmp_path / "images"), str(tmp_path / "made"), validation=0, shard_bytes=600, rows_of_chunk=5)
    dataset = open_dataset(str(tmp_path / "made"))
    (shard,) = (tmp_path / "made/train").glob("00001-*.h5")
    shard.write_bytes(shard.read_bytes()[:-1] + b"!")
    order = order_of(dataset, 8, 4, small=False)
    with pytest.raises(DataError, match=r"train/00001-\w+.h5 is not what was prepared") as error:
        list(Reader(dataset, dataset.splits["train"], order, range(4)).batches(0, 5))
    assert error.value.exit_code == EXIT_INVALID
    shard.unlink()
    with pytest.raises(DataError, match=r"train/00001-\w+.h5 is in the index, but not in the store"):
        list(Reader(dataset, dataset.splits["train"]).batches_of(range(40), 8))


def test_closing_ends_the_threads(dataset: Dataset) -> None:
    def fetching() -> list[threading.Thread]:
        return [thread for thread in threading.enumerate() if thread.name.startswith("fetch-")]

    before = fetching()
    order = order_of(dataset, 20, 5, small=False)
    batches = Reader(dataset, dataset.splits["train"], order, range(5)).batches(0)
    next(batches)
    started = [thread for thread in fetching() if thread not in before]
    assert started
    batches.close()  # type: ignore[attr-defined]
    for thread in started:
        thread.join(10)
        assert not thread.is_alive()


def test_memory_stays_within_the_budget(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    order = order_of(dataset, 20, 5, small=False, budget_bytes=12_000)
    reader = Reader(dataset, dataset.splits["train"], order, range(5), budget_bytes=12_000)
    original = Buffers.take
    alive = most = 0

    def freed(size: int) -> None:
        nonlocal alive
        alive -= size

    def counted(self: Buffers, rows: int) -> np.ndarray:
        nonlocal alive, most
        array = original(self, rows)
        alive += array.nbytes
        most = max(most, alive)
        weakref.finalize(array, freed, array.nbytes)
        return array

    monkeypatch.setattr(Buffers, "take", counted)
    for _ in reader.batches(0, 100):
        pass
    assert 6_000 <= most <= 12_000 + 2 * 20 * 60


def test_a_small_split_must_fit_the_budget(dataset: Dataset) -> None:
    order = order_of(dataset, 20, 5, small=True)
    with pytest.raises(
        ConfigError,
        match=r"train do not fit: each .* in memory \(25,200 bytes\), and may use 100 bytes",
    ):
        Reader(dataset, dataset.splits["train"], order, range(5), budget_bytes=100)
