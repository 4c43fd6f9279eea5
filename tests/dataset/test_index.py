"""An index that is missing, newer or not whole is one clear line, and a whole one is small and quick."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.dataset.dataset import Dataset
from trainer.dataset.manifest import smallest_unsigned
from trainer.dataset.open_dataset import open_dataset
from trainer.dataset.shards.ranges import CHUNK, blocks, byte_ranges
from trainer.errors import EXIT_INVALID, DataError

Change = Callable[[dict[str, Any]], object]


@pytest.fixture
def copy(dataset: Dataset, tmp_path: Path) -> Path:
    root = tmp_path / "copy"
    shutil.copytree(urlparse(dataset.url).path, root)
    return root


def refused(root: Path, message: str) -> None:
    with pytest.raises(DataError, match=message) as error:
        open_dataset(str(root))
    assert error.value.exit_code == EXIT_INVALID
    assert "\n" not in str(error.value)


def test_a_copy_is_the_same_dataset(dataset: Dataset, copy: Path) -> None:
    again = open_dataset(str(copy))
    assert again.identity == dataset.identity
    assert again.classes == ("cat", "dog", "owl")
    assert again.splits["train"].labels.dtype == np.uint8


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.update(version=99), "a dataset of version 99; this trainer reads versions up to 3"),
        (lambda m: m.pop("version"), "has no version"),
        (lambda m: m.update(format="?"), "is not the index of a dataset"),
        (lambda m: m.update(encoding="png"), "expected images encoded as raw or jpeg, received 'png'"),
        (lambda m: m["classes"].pop(), r"row \d+ of train has label 2; with 2 classes the highest is 1"),
        (lambda m: m.pop("classes"), "is not whole"),
        (lambda m: m.update(image_shape=[5, 4]), "is not whole"),
        (lambda m: m.update(image_shape=[50, 4, 3]), "the index of train does not fit its shards"),
        (lambda m: m["splits"]["train"].update(rows=5), "the index of train does not fit its shards"),
        (lambda m: m["splits"]["train"]["objects"].pop(), "the index of train does not fit its shards"),
        (
            lambda m: m["splits"]["train"]["chunks"].update(sha256="0"),
            r"train-\w+.chunks.npy .* its checksum differs",
        ),
        (
            lambda m: m["splits"]["train"]["labels"].update(key="index/no"),
            "index/no is missing from the dataset",
        ),
    ],
)
def test_a_manifest_that_is_wrong(copy: Path, change: Change, message: str) -> None:
    manifest = json.loads((copy / "dataset.json").read_text())
    change(manifest)
    (copy / "dataset.json").write_text(json.dumps(manifest))
    refused(copy, message)


def test_no_dataset_and_no_manifest(tmp_path: Path, copy: Path, s3: str) -> None:
    refused(tmp_path / "nowhere", r"there is no dataset at .*Make one: trainer prepare IMAGES file://")
    with pytest.raises(DataError, match=r"there is no dataset at s3://no-such-bucket/x"):
        open_dataset("s3://no-such-bucket/x")
    (copy / "dataset.json").write_text("{half")
    refused(copy, "is not the index of a dataset")


def test_an_index_holds_no_pickle(copy: Path) -> None:
    (path,) = (copy / "index").glob("train-*.labels.npy")
    np.save(path, np.array([{"a": 1}], object), allow_pickle=True)
    manifest = json.loads((copy / "dataset.json").read_text())
    manifest["splits"]["train"]["labels"]["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    (copy / "dataset.json").write_text(json.dumps(manifest))
    refused(copy, "is not whole")


def test_a_split_that_is_not_there_is_named(dataset: Dataset) -> None:
    with pytest.raises(DataError, match="expected a split 'holdout', found train, validation, test"):
        dataset.split("holdout")


@pytest.mark.parametrize(("classes", "dtype"), [(1, "u1"), (256, "u1"), (257, "u2"), (65537, "u4")])
def test_labels_are_as_small_as_can_be(classes: int, dtype: str) -> None:
    assert smallest_unsigned(classes) == np.dtype(dtype)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=20), st.integers(1, 500), st.data())
def test_ranges_are_exactly_the_rows_asked_for(counts: list[int], limit: int, data: st.DataObject) -> None:
    chunks = np.zeros(len(counts), CHUNK)
    chunks["rows"] = counts
    chunks["first"] = np.cumsum(counts) - counts
    chunks["object"] = np.arange(len(counts)) // 5
    row_bytes = 7
    content: list[dict[int, int]] = [{} for _ in range(len(counts) // 5 + 1)]
    row = end = 0
    for chunk in chunks:
        end = 0 if chunk["object"] and not content[chunk["object"]] else end
        chunk["offset"] = end + data.draw(st.sampled_from([0, 0, 3]))
        for place in range(chunk["rows"]):
            content[chunk["object"]][int(chunk["offset"]) + place * row_bytes] = row
            row += 1
        end = int(chunk["offset"] + chunk["rows"] * row_bytes)
    rows = np.array(data.draw(st.lists(st.integers(0, row - 1), max_size=30)) or range(row), np.int64)
    ranges = byte_ranges(chunks, row_bytes, rows, limit)
    found = [
        content[part.number][start] for part in ranges for start in range(part.start, part.stop, row_bytes)
    ]
    assert found == rows.tolist()
    assert [part.place for part in ranges] == np.cumsum([0, *(part.rows for part in ranges)]).tolist()[:-1]
    assert all(part.stop - part.start <= max(limit, row_bytes) for part in ranges)


@given(
    st.lists(st.tuples(st.integers(1, 9), st.sampled_from([0, 0, 0, 1, 3])), min_size=1), st.integers(1, 60)
)
def test_a_block_is_as_many_neighbours_as_are_worth_one_request(
    drawn: list[tuple[int, int]], limit: int
) -> None:
    chunks = np.zeros(len(drawn), CHUNK)
    chunks["rows"] = chunks["length"] = [rows for rows, _ in drawn]
    gaps = np.array([gap for _, gap in drawn])
    chunks["offset"] = np.cumsum(gaps + chunks["rows"]) - chunks["rows"]
    chunks["object"] = np.arange(len(drawn)) // 7
    found = blocks(chunks, limit)
    ends = np.cumsum(chunks["rows"])
    assert set(np.cumsum(found)) <= set(ends)
    assert found.sum() == ends[-1]
    first = 0
    for last in np.searchsorted(ends, np.cumsum(found)).tolist():
        assert len({*chunks["object"][first : last + 1]}) == 1
        assert not gaps[first + 1 : last + 1].any()
        assert chunks["rows"][first:last].sum() < limit + 9, "its first chunks fit"
        first = last + 1


def test_neighbouring_chunks_are_fetched_together(dataset: Dataset) -> None:
    split = dataset.splits["train"]
    ranges = byte_ranges(split.chunks, split.row_bytes, np.arange(split.rows), 1 << 20)
    assert len(ranges) == len(split.objects)
