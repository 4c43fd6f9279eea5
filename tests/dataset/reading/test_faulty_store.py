"""Epochs from a store that fails, changes and is cached on a disk that is full or damaged: the right rows."""

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from tests.dataset.reading.test_cached_reader import cached
from tests.dataset.reading.test_reader import order_of, with_h5py
from tests.datasets import make_folders
from tests.storage import faulty
from tests.storage.faulty import FaultyProxy, faulty_proxy
from trainer.dataset.dataset import Dataset
from trainer.dataset.open_dataset import open_dataset
from trainer.dataset.reading.reader import Batch, Reader
from trainer.errors import DataError
from trainer.preparation.prepare import prepare
from trainer.storage import retry
from trainer.storage.disk_cache import DiskCache


@dataclass
class Remote:
    """A dataset in S3 behind a proxy, and what HDF5 finds in it."""

    url: str
    proxy: FaultyProxy
    images: np.ndarray

    def batches(self, cache: DiskCache | None = None) -> Iterator[Batch]:
        """A fresh process's reading, without end."""
        dataset = open_dataset(self.url, cache=cache)
        order = order_of(dataset, 20, 5, small=False)
        return Reader(dataset, dataset.split("train"), order, range(5), budget_bytes=10_000).batches(0)


@pytest.fixture
def remote(tmp_path: Path, moto: str, s3: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Remote]:
    make_folders(tmp_path / "images", {"cat": 200, "dog": 200})
    options = {"shard_bytes": 6000, "rows_of_chunk": 7, "validation": 0}
    for made in (str(tmp_path / "made"), f"{s3}/made"):
        prepare(str(tmp_path / "images"), made, **options)  # type: ignore[arg-type]
    images, _, _ = with_h5py(open_dataset(str(tmp_path / "made")), "train")
    monkeypatch.setattr(retry, "BASE_SECONDS", 0.01)
    with faulty_proxy(moto) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        yield Remote(f"{s3}/made", proxy, images)


def read_epoch(remote: Remote, batches: Iterator[Batch]) -> None:
    """One epoch has every row once (20 divides 400), with its own bytes."""
    rows = []
    for _, batch in zip(range(20), batches, strict=False):
        np.testing.assert_array_equal(batch.images, remote.images[batch.rows])
        rows.append(batch.rows)
    assert sorted(np.concatenate(rows)) == list(range(400))


def test_with_a_tenth_of_all_requests_failing_an_epoch_has_every_row_once(
    remote: Remote, tmp_path: Path
) -> None:
    remote.proxy.spoil_at_random(0.1, seed=1)
    read_epoch(remote, remote.batches())
    cache = DiskCache(tmp_path / "cache", 1 << 30)
    batches = remote.batches(cache)
    read_epoch(remote, batches)
    read_epoch(remote, batches)
    assert cache.counters.hits
    assert len(remote.proxy.met) >= 4, remote.proxy.met
    assert remote.proxy.met.total() >= 0.05 * len(remote.proxy.seen)


@pytest.mark.parametrize("with_cache", [False, True], ids=["store", "cache"])
def test_an_object_that_changes_while_an_epoch_is_read_is_named(
    remote: Remote, tmp_path: Path, with_cache: bool
) -> None:
    batches = remote.batches(DiskCache(tmp_path / "cache", 1 << 30) if with_cache else None)
    for _ in range(3):
        next(batches)
    remote.proxy.spoil_at_random(0.1, seed=2)
    bucket = remote.url.removeprefix("s3://").partition("/")[0]
    remote.proxy.spoil(f"GET /{bucket}/made/train/", faulty.change_object)
    with pytest.raises(DataError, match=rf"^{remote.url}/train/\d+-\w+\.h5 is not what was prepared"):
        read_epoch(remote, batches)
    assert remote.proxy.faults_left == 0


def damage(files: list[Path], step: int) -> None:
    """Every third block is torn, filled with garbage, or gone."""
    for number, path in enumerate(files[step % 3 :: 3]):
        with suppress(OSError):  # the reader removes what it finds damaged, and a disk may be full
            size = path.stat().st_size
            if number % 3 == 0:
                os.truncate(path, size // 2)
            elif number % 3 == 1:
                path.write_bytes(os.urandom(size))
            else:
                path.unlink()


@pytest.mark.parametrize("disk", ["large", "full"])
def test_a_cache_that_is_damaged_while_epochs_are_read_serves_no_wrong_row(
    dataset: Dataset, tmp_path: Path, disk: str, small_disk: Callable[[str], Path]
) -> None:
    images, _, _ = with_h5py(dataset, "train")
    folder = (small_disk("64k") if disk == "full" else tmp_path) / "cache"
    own, store = cached(dataset.url, folder)
    order = order_of(own, 20, 5, small=False)
    reader = Reader(own, own.splits["train"], order, range(5), budget_bytes=10_000)
    for batch in reader.batches(0, 3 * order.steps_per_epoch):
        np.testing.assert_array_equal(batch.images, images[batch.rows])
        damage(sorted(folder.glob("??/*-*")), batch.step)
    assert own.splits["train"].cache.counters.damaged  # type: ignore[union-attr]
    assert store.bytes > images.nbytes
