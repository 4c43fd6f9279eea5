"""Images in, the same images out, in any store; and nothing half-written is a dataset."""

import json
import re
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from PIL import Image

from tests.datasets import make_folders
from trainer.dataset.inspection.describe import inspect
from trainer.dataset.manifest import write_manifest
from trainer.dataset.open_dataset import open_dataset
from trainer.dataset.pixel_histogram import PixelHistogram
from trainer.dataset.reading.reader import Reader
from trainer.errors import EXIT_INVALID, ConfigError, DataError
from trainer.preparation import target
from trainer.preparation.prepare import prepare
from trainer.preparation.shards import chunk_rows
from trainer.storage import open_store
from trainer.storage.file import FileStore


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    return make_folders(tmp_path / "images", {"cat": 40, "dog": 24, "owl": 16})


def contents(url: str) -> dict[str, dict[str, tuple[bytes, int]]]:
    """Split -> name -> pixels and label."""
    dataset = open_dataset(url)
    everything = {}
    for name, split in dataset.splits.items():
        names = split.names(np.arange(split.rows))
        batches = list(Reader(dataset, split).batches_of(range(split.rows), 7))
        images = [image.tobytes() for batch in batches for image in batch.images]
        labels = [int(label) for batch in batches for label in batch.labels]
        everything[name] = dict(zip(names, zip(images, labels, strict=True), strict=True))
    return everything


def test_what_goes_in_comes_out(folders: Path, store_url: str) -> None:
    summary = prepare(str(folders), store_url, validation=0.25, test=0.25, shard_bytes=900, rows_of_chunk=4)
    assert summary.rows == {"train": 40, "validation": 20, "test": 20}
    assert summary.classes == ("cat", "dog", "owl")
    assert summary.image_shape == (5, 4, 3)
    found = contents(store_url)
    everything = {name: value for part in found.values() for name, value in part.items()}
    assert len(everything) == 80
    for name, (pixels, label) in everything.items():
        assert pixels == np.asarray(Image.open(folders / name)).tobytes()
        assert name.startswith(summary.classes[label])
    for split, size in summary.rows.items():
        per_class = Counter(label for _, label in found[split].values())
        assert [per_class[label] for label in range(3)] == [size // 2, size * 3 // 10, size // 5]


def test_from_a_bucket_as_from_a_disk(folders: Path, s3: str, tmp_path: Path) -> None:
    store = open_store(f"{s3}/images")
    for path in folders.glob("*/*.png"):
        store.put(str(path.relative_to(folders)), path.read_bytes())
    there = prepare(f"{s3}/images", f"{s3}/made")
    here = prepare(str(folders), str(tmp_path / "made"))
    assert there.identity == here.identity == open_dataset(f"{s3}/made").identity
    assert contents(f"{s3}/made") == contents(str(tmp_path / "made"))


def test_the_files_are_plain_hdf5(folders: Path, tmp_path: Path) -> None:
    prepare(str(folders), str(tmp_path / "made"), validation=0, shard_bytes=60 * 32, rows_of_chunk=8)
    paths = sorted((tmp_path / "made/train").iterdir())
    assert [path.name[:6] for path in paths] == ["00000-", "00001-", "00002-"]
    with h5py.File(paths[0]) as file:
        assert h5py.h5o.get_info(file.id).mtime == 0, "the same images must make the same bytes at any time"
        assert file["images"].shape == (32, 5, 4, 3)
        assert file["images"].dtype == np.uint8
        assert file["images"].chunks == (8, 5, 4, 3)
        assert file["images"].compression is None
        assert file["labels"].shape == file["names"].shape == (32,)
        assert file.attrs["classes"].tolist() == [b"cat", b"dog", b"owl"]
        assert (file.attrs["format"], file.attrs["version"]) == (b"cars-trainer dataset", b"1")
        assert file.attrs["split"] == b"train"
        assert json.loads(file.attrs["options"])["seed"] == 0
        name = file["names"][3].decode()
        np.testing.assert_array_equal(file["images"][3], np.asarray(Image.open(folders / name)))


def test_training_rows_are_in_random_order_by_the_seed(folders: Path, tmp_path: Path) -> None:
    labels, identities = [], []
    for number, seed in enumerate([1, 1, 2]):
        url = str(tmp_path / f"made{number}")
        identities.append(prepare(str(folders), url, seed=seed).identity)
        labels.append(open_dataset(url).splits["train"].labels.tolist())
    assert labels[0] == labels[1] != labels[2]
    assert identities[0] == identities[1] != identities[2]
    assert labels[0] != sorted(labels[0])


def test_the_source_s_own_splits_are_kept(tmp_path: Path) -> None:
    make_folders(tmp_path / "images", {"train/a": 8, "train/b": 8, "val/a": 3, "test/b": 5})
    summary = prepare(str(tmp_path / "images"), str(tmp_path / "made"))
    assert summary.rows == {"train": 16, "validation": 3, "test": 5}
    with pytest.raises(ConfigError, match=r"--test: the source has images for test in a folder of their own"):
        prepare(str(tmp_path / "images"), str(tmp_path / "other"), test=0.5)
    make_folders(tmp_path / "more", {"train/a": 8, "train/b": 8, "test/b": 5})
    assert prepare(str(tmp_path / "more"), str(tmp_path / "third")).rows == {
        "train": 14,
        "validation": 2,
        "test": 5,
    }


def test_resizing_makes_sizes_one(tmp_path: Path) -> None:
    make_folders(tmp_path / "images", {"a": 4})
    make_folders(tmp_path / "images", {"b": 4}, size=(9, 7))
    with pytest.raises(
        DataError, match=r"is 7x9 pixels and \S+ is 4x5; .*--image-size|is 4x5 pixels and \S+ is 7x9"
    ):
        prepare(str(tmp_path / "images"), str(tmp_path / "made"))
    summary = prepare(str(tmp_path / "images"), str(tmp_path / "made"), image_size=(6, 8))
    assert summary.image_shape == (6, 8, 3)


def test_photographs_of_different_sizes_become_squares(tmp_path: Path, store_url: str) -> None:
    make_folders(tmp_path / "images", {"a": 6}, size=(80, 90))
    make_folders(tmp_path / "images", {"b": 4}, size=(400, 300))
    make_folders(tmp_path / "turned", {"a": 4}, size=(300, 400))
    summary = prepare(str(tmp_path / "images"), store_url)
    assert summary.image_shape == (80, 80, 3)
    assert summary.resized.startswith(
        "resized to 80 x 80, as the images have different sizes (80 x 90 to 400 x 300)"
    )
    assert open_dataset(store_url).made["image_size"] == [80, 80]
    again = prepare(str(tmp_path / "images"), store_url)
    assert again.identity == summary.identity
    asked = prepare(str(tmp_path / "images"), str(tmp_path / "asked"), image_size=(8, 8))
    assert (asked.image_shape, asked.resized) == ((8, 8, 3), "")
    same = prepare(str(tmp_path / "turned"), str(tmp_path / "same"), one_class=True)
    assert (same.image_shape, same.resized) == ((300, 400, 3), "")


def test_a_damaged_image_ends_it_with_nothing_left(folders: Path, store_url: str) -> None:
    (folders / "dog/0003.png").write_bytes(b"not an image")
    with pytest.raises(DataError, match=r"dog/0003.png: not an image") as error:
        prepare(str(folders), store_url, shard_bytes=600, rows_of_chunk=2)
    assert error.value.exit_code == EXIT_INVALID
    assert not list(open_store(store_url).list())
    with pytest.raises(DataError, match=r"there is no dataset at .*Make one: trainer prepare"):
        open_dataset(store_url)


def test_damaged_images_are_skipped_and_named_where_asked(folders: Path, tmp_path: Path) -> None:
    whole = (folders / "cat/0000.png").read_bytes()
    (folders / "dog/0003.png").write_bytes(b"not an image")
    (folders / "owl/0001.png").write_bytes(whole[:60])
    (folders / "owl/notes.txt").write_text("hello")
    summary = prepare(str(folders), str(tmp_path / "made"), on_bad="skip")
    assert sum(summary.rows.values()) == 78
    assert summary.ignored == 1
    assert sorted(line.split(":")[0] for line in summary.skipped) == ["dog/0003.png", "owl/0001.png"]
    made = inspect(str(tmp_path / "made"))["made"]
    assert made["skipped"] == list(summary.skipped)
    assert made["skipped_images"] == 2
    for path in (folders / "owl").glob("*.png"):
        path.write_bytes(b"no")
    with pytest.raises(DataError, match=r"no readable image is left to train the class 'owl' on"):
        prepare(str(folders), str(tmp_path / "other"), on_bad="skip", max_bad=1, validation=0)


def test_a_dataset_is_replaced_only_when_asked(folders: Path, store_url: str) -> None:
    first = prepare(str(folders), store_url, shard_bytes=600, rows_of_chunk=2)
    with pytest.raises(
        ConfigError, match=r"there is a dataset already. Choose another URL, or give --overwrite"
    ):
        prepare(str(folders), store_url)
    assert open_dataset(store_url).identity == first.identity
    second = prepare(str(folders), store_url, seed=9, overwrite=True)
    assert open_dataset(store_url).identity == second.identity != first.identity
    keys = [re.sub(r"-[0-9a-f]{12}", "", info.key) for info in open_store(store_url).list()]
    assert keys == [
        "dataset.json",
        "index/test.chunks.npy",
        "index/test.labels.npy",
        "index/train.chunks.npy",
        "index/train.labels.npy",
        "index/validation.chunks.npy",
        "index/validation.labels.npy",
        "test/00000.h5",
        "train/00000.h5",
        "validation/00000.h5",
    ]


def test_what_is_wrong_from_the_start_does_not_cost_the_dataset_that_is_there(
    folders: Path, tmp_path: Path
) -> None:
    first = prepare(str(folders), str(tmp_path / "made"))
    (folders / "empty").mkdir()
    with pytest.raises(DataError, match=r"the class has no images"):
        prepare(str(folders), str(tmp_path / "made"), overwrite=True)
    (folders / "empty").rmdir()
    with pytest.raises(ConfigError, match=r"expected fractions"):
        prepare(str(folders), str(tmp_path / "made"), overwrite=True, validation=2)
    assert open_dataset(str(tmp_path / "made")).identity == first.identity


def test_a_store_that_fails_in_the_middle_leaves_nothing(
    folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = FileStore.put_file

    def full(self: FileStore, key: str, path: Path) -> str:
        if key.startswith("train/00002-"):
            raise OSError(f"{self.url}/{key}: cannot be written: File too large")
        return original(self, key, path)

    monkeypatch.setattr(FileStore, "put_file", full)
    with pytest.raises(OSError, match="File too large"):
        prepare(str(folders), str(tmp_path / "made"), shard_bytes=600, rows_of_chunk=2)
    assert not list(open_store(str(tmp_path / "made")).list())


def test_a_bucket_that_is_missing_is_told_before_any_work(folders: Path, s3: str) -> None:
    told: list[int] = []
    with pytest.raises(
        ConfigError, match=r"s3://there-is-no-such-bucket.*Create the bucket, or correct the URL"
    ) as e:
        prepare(str(folders), "s3://there-is-no-such-bucket/x", progress=lambda done, _: told.append(done))
    assert e.value.exit_code == EXIT_INVALID
    assert not told


@pytest.mark.parametrize("place", ["", "/made", "/cat/made"])
def test_not_into_the_images_themselves(folders: Path, place: str) -> None:
    before = sorted(folders.rglob("*"))
    with pytest.raises(ConfigError, match=r"is inside the images at .*Choose a place beside them"):
        prepare(str(folders), f"{folders}{place}")
    (folders.parent / "link").symlink_to(folders)
    with pytest.raises(ConfigError, match="is inside the images at"):
        prepare(str(folders), f"{folders.parent}/link{place}")
    assert sorted(folders.rglob("*")) == before


def test_of_two_at_once_one_is_told(folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = str(tmp_path / "made")
    original = write_manifest

    def late(*arguments: Any, **options: Any) -> str:
        open_store(url).put("dataset.json", b"{}")
        return original(*arguments, **options)

    monkeypatch.setattr(target, "write_manifest", late)
    with pytest.raises(ConfigError, match=r"another dataset was prepared here in the meantime"):
        prepare(str(folders), url)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (
            {"validation": 1.0},
            ConfigError,
            "expected fractions >= 0 with a sum below 1, received 1.0 and 0.0",
        ),
        ({"validation": 0.5, "test": 0.5}, ConfigError, "received 0.5 and 0.5"),
        ({"test": -0.1}, ConfigError, "received 0.15 and -0.1"),
        ({"validation": 0.001}, DataError, "--validation: 0.001 of 80 images leaves none"),
    ],
)
def test_shares_that_cannot_be(
    folders: Path, tmp_path: Path, options: dict[str, float], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        prepare(
            str(folders),
            str(tmp_path / "made"),
            validation=options.get("validation"),
            test=options.get("test"),
        )
    assert not (tmp_path / "made").exists()


def test_progress_is_told_and_no_thread_is_left(folders: Path, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    before = threading.active_count()
    prepare(str(folders), str(tmp_path / "made"), progress=lambda done, total: told.append((done, total)))
    assert told == [(number, 80) for number in range(1, 81)]
    assert threading.active_count() == before


def test_pixels_are_counted_exactly() -> None:
    images = np.random.default_rng(0).integers(0, 256, (700, 30, 40, 3), np.uint8)
    counts = PixelHistogram.of(images).counts
    for channel in range(3):
        expected = np.bincount(images[..., channel].ravel(), minlength=256)
        np.testing.assert_array_equal(counts[channel], expected)
    mean, std = PixelHistogram.of(images).moments()
    np.testing.assert_allclose(mean, images.mean((0, 1, 2)))
    np.testing.assert_allclose(std, images.std((0, 1, 2)))


def test_chunks_are_whole_images_of_one_to_four_megabytes() -> None:
    assert chunk_rows(32 * 32 * 3) == 341
    assert chunk_rows(224 * 224 * 3) == 16
    assert chunk_rows(512 * 512 * 3) == 5
    assert chunk_rows(4000 * 4000 * 3) == 1


def test_real_images(sample_data: Path, store_url: str) -> None:
    images = str(sample_data / "cifar10-subset")
    summary = prepare(images, store_url, validation=0.25, shard_bytes=8 << 20)
    assert summary.rows == {"train": 7500, "validation": 2500, "test": 2000}
    assert summary.image_shape == (32, 32, 3)
    described = inspect(store_url)
    assert set(described["splits"]["train"]["rows_per_class"].values()) == {750}
    assert described["splits"]["train"]["objects"] == 3
    dataset = open_dataset(store_url)
    split = dataset.splits["test"]
    batch = next(Reader(dataset, split).batches_of(range(1000, 1010), 10))
    for name, image in zip(split.names(batch.rows), batch.images, strict=True):
        expected = Image.open(sample_data / "cifar10-subset" / name).convert("RGB")
        np.testing.assert_array_equal(image, np.asarray(expected))
