"""A dataset that was copied is read again once its shards were found to be the same."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlparse

import pytest

from trainer.dataset.dataset import Dataset, Split
from trainer.dataset.open_dataset import open_dataset
from trainer.errors import DataError
from trainer.preparation.reindex import reindex


@pytest.fixture
def copy(dataset: Dataset, tmp_path: Path) -> Path:
    return shutil.copytree(urlparse(dataset.url).path, tmp_path / "copy")


def rows_of(split: Split, number: int) -> bytes:
    """Some bytes of the images of an object."""
    start = int(split.chunks["offset"][split.chunks["object"] == number][0])
    return bytes(split.read(number, start, start + 500))


def first_rows(url: str | Path) -> bytes:
    return rows_of(open_dataset(str(url)).split("train"), 0)


def test_a_copy_is_read_once_its_checksums_were_compared(
    dataset: Dataset, copy: Path, caplog: pytest.LogCaptureFixture
) -> None:
    split = open_dataset(str(copy)).split("train")
    with ThreadPoolExecutor(4) as threads:
        read = list(threads.map(lambda number: rows_of(split, number % 2), range(8)))
    assert read[0] == first_rows(dataset.url)
    assert len(set(read)) == 2
    assert caplog.text.count("the etag differs from the index (the dataset was copied)") == 1


def test_an_object_of_other_bytes_is_no_copy(copy: Path) -> None:
    split = open_dataset(str(copy)).split("train")
    first = copy / split.objects[0].key
    first.write_bytes(first.read_bytes()[:-1] + b"!")
    with pytest.raises(
        DataError, match=f"{split.objects[0].key} is not what was prepared: its checksum differs"
    ):
        rows_of(split, 0)


def test_an_index_again_spares_the_comparison(
    dataset: Dataset, copy: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made = reindex(str(copy))
    assert made.changed == made.objects > 1
    assert made.identity == open_dataset(str(copy)).identity == dataset.identity
    assert first_rows(copy) == first_rows(dataset.url)
    assert "etag differs" not in caplog.text


def test_where_nothing_has_changed_nothing_is_written(dataset: Dataset) -> None:
    manifest = Path(urlparse(dataset.url).path, "dataset.json")
    before = manifest.stat()
    assert reindex(dataset.url).changed == 0
    assert manifest.stat() == before


def test_a_shard_that_is_not_what_was_prepared_leaves_the_index_as_it_was(copy: Path) -> None:
    before = (copy / "dataset.json").read_bytes()
    *_, last = open_dataset(str(copy)).split("train").objects
    shard = copy / last.key
    content = bytearray(shard.read_bytes())
    content[-1] ^= 1
    shard.write_bytes(content)
    with pytest.raises(DataError, match=f"{last.key} is not what was prepared: its checksum differs"):
        reindex(str(copy))
    shard.write_bytes(content[:-1])
    sizes = f"expected {last.size:,} bytes, received {last.size - 1:,}"
    with pytest.raises(DataError, match=f"{last.key}: {sizes}"):
        reindex(str(copy))
    shard.unlink()
    with pytest.raises(DataError, match=f"{last.key} is in the index, but not in the store"):
        reindex(str(copy))
    assert (copy / "dataset.json").read_bytes() == before
