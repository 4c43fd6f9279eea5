"""Epochs after the first come from the disk cache, the same rows, and nothing but them."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import numpy as np
import pytest

from tests.dataset.reading.test_reader import order_of, share, with_h5py
from trainer.dataset.dataset import Dataset
from trainer.dataset.open_dataset import open_dataset
from trainer.dataset.reading.reader import Reader
from trainer.storage import Store
from trainer.storage.disk_cache import DiskCache


class Recorded:
    """A store that remembers the ranges that it is asked for: key, start, stop."""

    def __init__(self, store: Store) -> None:
        self._store, self.url = store, store.url
        self.ranges: list[tuple[str, int, int]] = []

    @property
    def bytes(self) -> int:
        return sum(stop - start for _, start, stop in self.ranges)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def get_range(self, key: str, start: int, stop: int, **options: Any) -> memoryview:
        self.ranges.append((key, start, stop))
        return self._store.get_range(key, start, stop, **options)


def cached(url: str, folder: Path) -> tuple[Dataset, Recorded]:
    dataset = open_dataset(url, cache=DiskCache(folder, 1 << 30))
    store = Recorded(dataset.store)
    splits = {name: replace(split, store=store) for name, split in dataset.splits.items()}
    return replace(dataset, splits=splits), store


@pytest.mark.parametrize("small", [True, False])
def test_each_byte_is_fetched_once_for_the_ranks_of_a_pod(
    dataset: Dataset, tmp_path: Path, small: bool
) -> None:
    images, _, _ = with_h5py(dataset, "train")
    order = order_of(dataset, 20, 5, small=small)
    fetched = 0
    for _ in range(2):
        for rank in range(2):
            own, store = cached(dataset.url, tmp_path)
            reader = Reader(own, own.splits["train"], order, share(order, rank, 2), budget_bytes=100_000)
            for batch in reader.batches(0, 3 * order.steps_per_epoch):
                np.testing.assert_array_equal(batch.images, images[batch.rows])
            fetched += store.bytes
    assert fetched <= images.nbytes, "the second rank, and the second start, find what the first fetched"


def test_a_copy_of_a_dataset_shares_the_cache(dataset: Dataset, tmp_path: Path) -> None:
    copy = shutil.copytree(urlparse(dataset.url).path, tmp_path / "copy")
    first, _ = cached(dataset.url, tmp_path / "cache")
    second, store = cached(str(copy), tmp_path / "cache")
    read = [
        np.concatenate([batch.images for batch in Reader(own, own.splits["test"]).batches_of(range(50), 10)])
        for own in (first, second)
    ]
    np.testing.assert_array_equal(read[0], read[1])
    assert store.bytes == 0


def test_names_are_read_through(dataset: Dataset, tmp_path: Path) -> None:
    own, _ = cached(dataset.url, tmp_path)
    rows = np.arange(20)
    assert own.split("train").names(rows) == dataset.split("train").names(rows)
