"""Rows that are JPEG files: the same images, in the same order, in a tenth of the bytes."""

import hashlib
import io
import json
import shutil
from functools import partial
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlparse

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from tests.gang.gangs import wait_for
from trainer.dataset.dataset import Dataset
from trainer.dataset.open_dataset import open_dataset
from trainer.dataset.order import Order
from trainer.dataset.reading.reader import Reader
from trainer.dataset.shards.ranges import CHUNK, PIECE, piece_ranges
from trainer.errors import DataError
from trainer.preparation.prepare import prepare
from trainer.storage.disk_cache import DiskCache

Images = NDArray[np.uint8]

SHAPE = (24, 32, 3)


def smooth(seed: int) -> Images:
    """An image of slopes, as photographs are more than noise is."""
    down, right = np.mgrid[0 : SHAPE[0], 0 : SHAPE[1]]
    return np.stack([down * 4 + seed, right * 5, 255 - down - right - seed], axis=-1).astype(np.uint8)


@pytest.fixture(scope="module")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> tuple[Dataset, Dataset]:
    """The same images as pixels and as JPEG files, in several shards and chunks."""
    root = tmp_path_factory.mktemp("jpeg")
    for number in range(150):
        folder = root / "images" / "ab"[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(smooth(number)).save(folder / f"{number:03d}.png")
    make = partial(prepare, str(root / "images"), validation=0.2, rows_of_chunk=7)
    make(str(root / "raw"), shard_bytes=100_000)
    make(str(root / "jpeg"), shard_bytes=40_000, encoding="jpeg")
    return open_dataset(str(root / "raw")), open_dataset(str(root / "jpeg"))


def as_decoded(dataset: Dataset) -> Images:
    """The images of the training split, by h5py and Pillow alone."""
    images = []
    for shard in dataset.splits["train"].objects:
        with h5py.File(Path(urlparse(dataset.url).path) / shard.key) as file:
            offsets, data = file["jpeg_offsets"][:].tolist(), file["jpeg"][:].tobytes()
            assert len(offsets) == len(file["labels"]) + 1 == len(file["names"]) + 1
            for start, stop in pairwise(offsets):
                images.append(np.asarray(Image.open(io.BytesIO(data[start:stop]))))
    return np.array(images)


def test_the_files_are_what_anybody_reads(datasets: tuple[Dataset, Dataset]) -> None:
    raw, jpeg = datasets
    assert (raw.encoding, jpeg.encoding) == ("raw", "jpeg")
    split = jpeg.splits["train"]
    assert len(split.objects) > 1
    assert len(split.chunks) > len(split.objects)
    expected = as_decoded(jpeg)
    rows = range(split.rows)
    found = np.concatenate([batch.images for batch in Reader(jpeg, split).batches_of(rows, 16)])
    np.testing.assert_array_equal(found, expected)
    pixels = np.concatenate([b.images for b in Reader(raw, raw.splits["train"]).batches_of(rows, 16)])
    assert np.abs(found.astype(int) - pixels).mean() < 3
    np.testing.assert_array_equal(split.labels, raw.splits["train"].labels)
    assert split.names(np.arange(9)) == raw.splits["train"].names(np.arange(9))
    np.testing.assert_allclose(split.mean, expected.mean(axis=(0, 1, 2)))
    np.testing.assert_allclose(split.std, expected.std(axis=(0, 1, 2)))


@pytest.mark.parametrize("small_bytes", [0, 1 << 30])
@pytest.mark.parametrize("cached", [False, True])
def test_each_row_of_a_step_is_that_of_its_order(
    datasets: tuple[Dataset, Dataset], small_bytes: int, cached: bool, tmp_path: Path
) -> None:
    jpeg = datasets[1]
    if cached:
        jpeg = open_dataset(jpeg.url, cache=DiskCache(tmp_path, 1 << 30))
    split, expected = jpeg.splits["train"], as_decoded(datasets[1])
    budget = 40 * split.row_bytes if not small_bytes else 1 << 30
    order = Order(split.blocks, split.row_bytes, 12, 6, 3, small_bytes=small_bytes, budget_bytes=budget)
    reader = Reader(jpeg, split, order, range(2, 5), budget_bytes=budget)
    for batch in reader.batches(3, 3 + 2 * order.steps_per_epoch):
        np.testing.assert_array_equal(batch.rows, order.rows(batch.step, range(2, 5)))
        np.testing.assert_array_equal(batch.images, expected[batch.rows])


def test_a_start_that_was_stopped_is_continued(datasets: tuple[Dataset, Dataset], tmp_path: Path) -> None:
    def stop(done: int, _: int) -> None:
        if done > 100:
            records = tmp_path / "made" / "preparing"
            wait_for(lambda: any(records.rglob("train-00000-*.npz")), "a shard is whole")
            raise KeyboardInterrupt

    make = partial(
        prepare,
        datasets[1].made["source"],
        str(tmp_path / "made"),
        validation=0.2,
        rows_of_chunk=7,
        shard_bytes=40_000,
        encoding="jpeg",
    )
    with pytest.raises(KeyboardInterrupt):
        make(progress=stop)
    made = make()
    assert made.resumed
    assert made.identity == datasets[1].identity


def test_a_damaged_row_is_named(datasets: tuple[Dataset, Dataset], tmp_path: Path) -> None:
    prepare(datasets[1].made["source"], str(tmp_path / "made"), encoding="jpeg", validation=0.2)
    dataset = open_dataset(str(tmp_path / "made"))
    split = dataset.splits["train"]
    piece = split.pieces[5]
    path = tmp_path / "made" / split.objects[0].key
    with path.open("r+b") as file:
        file.seek(int(split.chunks[0]["offset"] + piece["offset"]))
        file.write(bytes(int(piece["length"])))
    entry = f"{split.objects[0].key}: row 5 of train: corrupt JPEG"
    reader = Reader(dataset, split)
    reader.split._shards._etags[0] = dataset.store.stat(split.objects[0].key).etag
    with pytest.raises(DataError, match=entry):
        list(reader.batches_of(range(split.rows), 16))


@pytest.mark.parametrize("change", ["length", "chunk"])
def test_an_index_whose_pieces_are_not_its_rows_is_refused(
    datasets: tuple[Dataset, Dataset], tmp_path: Path, change: str
) -> None:
    shutil.copytree(urlparse(datasets[1].url).path, tmp_path / "copy")
    manifest = json.loads((tmp_path / "copy" / "dataset.json").read_text())
    entry = manifest["splits"]["train"]["pieces"]
    pieces = np.load(tmp_path / "copy" / entry["key"])
    pieces[change][3] += 1 << 20
    np.save(tmp_path / "copy" / entry["key"], np.sort(pieces, order="chunk"))
    entry["sha256"] = hashlib.sha256((tmp_path / "copy" / entry["key"]).read_bytes()).hexdigest()
    (tmp_path / "copy" / "dataset.json").write_text(json.dumps(manifest))
    with pytest.raises(DataError, match=r"is not whole: .*the index of train does not fit its shards"):
        open_dataset(str(tmp_path / "copy"))


@given(
    st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=5), min_size=1, max_size=8),
    st.integers(1, 30),
    st.data(),
)
def test_ranges_are_exactly_the_files_asked_for(
    lengths: list[list[int]], limit: int, data: st.DataObject
) -> None:
    chunks, pieces = np.zeros(len(lengths), CHUNK), np.zeros(sum(map(len, lengths)), PIECE)
    chunks["object"] = np.arange(len(lengths)) // 3
    chunks["length"] = [sum(own) for own in lengths]
    chunks["offset"] = (
        np.cumsum(chunks["length"])
        - chunks["length"]
        + [data.draw(st.sampled_from([0, 50])) for _ in lengths]
    )
    pieces["chunk"] = np.repeat(np.arange(len(lengths)), [len(own) for own in lengths])
    pieces["length"] = [length for own in lengths for length in own]
    pieces["offset"] = [sum(own[:place]) for own in lengths for place in range(len(own))]
    rows = np.array(data.draw(st.lists(st.integers(0, len(pieces) - 1), min_size=1, max_size=20)), np.int64)
    found: list[tuple[int, int, int]] = []
    for part, ends in piece_ranges(chunks, pieces, rows, limit):
        assert part.place == len(found)
        assert ends[-1] == part.stop - part.start <= max(limit, 9)
        for start, end in zip([0, *ends], ends, strict=False):
            found.append((part.number, part.start + start, end - start))
    own = chunks[pieces["chunk"][rows]]
    assert found == list(
        zip(own["object"], own["offset"] + pieces["offset"][rows], pieces["length"][rows], strict=True)
    )
