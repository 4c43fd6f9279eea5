"""The same pixels for the same row and epoch, whoever reads it and in whatever company."""

import ctypes
import resource
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from keras.applications.imagenet_utils import preprocess_input

from tests.datasets import make_folders
from trainer.dataset.dataset import Dataset
from trainer.dataset.open_dataset import open_dataset
from trainer.dataset.order import Order, lanes_of
from trainer.dataset.pipeline.augmentation import Augmentation
from trainer.dataset.pipeline.preprocessing import Preprocessing
from trainer.dataset.pipeline.stream import evaluation_stream, training_stream
from trainer.dataset.reading.reader import Reader
from trainer.errors import DataError
from trainer.preparation.prepare import prepare

EVERYTHING = Augmentation(flip="both", rotate=20, shift=0.2, zoom=0.2, brightness=0.2)


def reader_of(
    dataset: Dataset, size: int = 1, rank: int = 0, batch: int = 20, *, small: bool = True
) -> Reader:
    split = dataset.splits["train"]
    order = Order(
        split.chunks["rows"],
        split.row_bytes,
        batch,
        5,
        seed=5,
        small_bytes=1 << 40 if small else 0,
        budget_bytes=9000,
    )
    return Reader(dataset, split, order, lanes_of(rank, size, 5), budget_bytes=60_000)


def some(
    reader: Reader, preprocessing: Preprocessing, pad_to: int, steps: int, start: int = 0
) -> list[tuple[Any, ...]]:
    with training_stream(reader, preprocessing, 3, start, 21, pad_to) as batches:
        return [tuple(part.numpy() for part in next(batches)) for _ in range(steps)]


@pytest.mark.parametrize("small", [True, False])
def test_ranks_together_have_the_images_of_one(dataset: Dataset, small: bool) -> None:
    preprocessing = Preprocessing(augmentation=EVERYTHING)
    whole = some(reader_of(dataset, small=small), preprocessing, 20, 25)
    parts = [some(reader_of(dataset, 3, rank, small=small), preprocessing, 8, 25) for rank in range(3)]
    for number, (step, images, labels, weights) in enumerate(whole):
        assert step == number
        assert images.dtype == np.float32
        assert images.shape == (20, 5, 4, 3)
        assert labels.dtype == np.int32
        np.testing.assert_array_equal(weights, np.ones(20, np.float32))
        real = [part[number][3] == 1 for part in parts]
        np.testing.assert_array_equal(
            np.concatenate([p[number][1][r] for p, r in zip(parts, real, strict=True)]), images
        )
        np.testing.assert_array_equal(
            np.concatenate([p[number][2][r] for p, r in zip(parts, real, strict=True)]), labels
        )


def test_a_rank_with_fewer_rows_repeats_them_with_weight_0(dataset: Dataset) -> None:
    (_, images, labels, weights), *_ = some(reader_of(dataset, 3, 0), Preprocessing(), 10, 1)
    np.testing.assert_array_equal(weights, [1] * 4 + [0] * 6)
    np.testing.assert_array_equal(images[4:], images[[0, 1, 2, 3, 0, 1]])
    np.testing.assert_array_equal(labels[4:], labels[[0, 1, 2, 3, 0, 1]])


def test_resuming_gives_the_images_that_were_to_come(dataset: Dataset) -> None:
    preprocessing = Preprocessing(augmentation=EVERYTHING)
    for one, other in zip(
        some(reader_of(dataset), preprocessing, 20, 30)[23:],
        some(reader_of(dataset), preprocessing, 20, 7, start=23),
        strict=True,
    ):
        for left, right in zip(one, other, strict=True):
            np.testing.assert_array_equal(left, right)


@pytest.mark.parametrize("small", [True, False])
def test_a_rank_reads_single_steps_of_another_as_that_one_does(dataset: Dataset, small: bool) -> None:
    preprocessing = Preprocessing(augmentation=EVERYTHING)
    theirs = some(reader_of(dataset, size=2, rank=1, small=small), preprocessing, 12, 26)
    mine = reader_of(dataset, size=2, rank=0, small=small)
    with training_stream(mine, preprocessing, 3, 0, 21, 12) as own:
        next(own)
        beside, steps = mine.for_lanes(lanes_of(1, 2, 5)), [0, 7, 20, 25]
        with training_stream(beside, preprocessing, 3, 0, 21, 12, steps=steps) as batches:
            for step in steps:
                for part, expected in zip(next(batches), theirs[step], strict=True):
                    np.testing.assert_array_equal(part, expected)
            assert next(batches, None) is None
        assert int(next(own).number) == 1, "its own reading goes on"


def test_draws_depend_on_seed_epoch_and_row_alone() -> None:
    rows = np.array([9, 4, 100, 4])
    transforms = EVERYTHING.transforms(1, 2, rows, 32, 48)
    np.testing.assert_array_equal(transforms[1], transforms[3])
    np.testing.assert_array_equal(EVERYTHING.transforms(1, 2, rows[2:3], 32, 48)[0], transforms[2])
    others = [EVERYTHING.transforms(seed, epoch, rows, 32, 48) for seed, epoch in [(2, 2), (1, 3), (2, 1)]]
    for other in others:
        assert (other[:, :6] != transforms[:, :6]).all()


def test_the_draws_are_the_same_for_ever() -> None:
    """A run goes on after an upgrade with the changes it would have had: these figures may not change."""
    drawn = Augmentation("both", 10, 0.1, 0.1).transforms(7, 2, np.array([123]), 20, 10)[0]
    expected = [1.024212, -0.0856327, 1.274295, 0.0831932, 1.0542455, 1.016239, 0, 0]
    np.testing.assert_allclose(drawn, expected, rtol=1e-5)
    factor = Augmentation(brightness=0.5).factors(7, 2, np.array([123]))
    np.testing.assert_allclose(factor, [1.2244431972503662], rtol=1e-5)


def test_draws_are_even() -> None:
    rows = np.arange(20_000)
    transforms = Augmentation(flip="horizontal", shift=0.1).transforms(1, 0, rows, 100, 200)
    assert abs((transforms[:, 0] < 0).mean() - 0.5) < 0.02
    right = transforms[:, 2] - np.where(transforms[:, 0] < 0, 199, 0)
    assert abs(right.mean()) < 0.3
    assert 19.5 < np.abs(right).max() <= 20
    assert np.abs(transforms[:, 5]).max() <= 10


def test_no_augmentation_changes_nothing() -> None:
    assert not Augmentation().moves
    np.testing.assert_array_equal(Augmentation().factors(1, 0, np.arange(3)), [1, 1, 1])
    still = Augmentation().transforms(1, 0, np.arange(3), 7, 9)
    np.testing.assert_array_equal(still, np.tile([1, 0, 0, 0, 1, 0, 0, 0], (3, 1)))


@pytest.mark.parametrize(("flip", "axes"), [("horizontal", (2,)), ("vertical", (1,))])
def test_flips_move_whole_pixels(flip: str, axes: tuple[int, ...]) -> None:
    images = np.random.default_rng(0).integers(0, 256, (64, 6, 9, 3), np.uint8)
    transforms = Augmentation(flip=flip).transforms(0, 0, np.arange(64), 6, 9)  # type: ignore[arg-type]
    flipped = Preprocessing("none")(images, transforms).numpy()
    turned = np.flip(images, axes)
    as_they_were = (flipped == images).all(axis=(1, 2, 3))
    as_turned = (flipped == turned).all(axis=(1, 2, 3))
    assert (as_they_were | as_turned).all()
    assert 15 < as_turned.sum() < 49


def test_brightness_multiplies_pixels_and_stays_within_them() -> None:
    augmentation, rows = Augmentation(brightness=0.3), np.arange(20_000)
    factors = augmentation.factors(1, 0, rows)
    assert not augmentation.moves
    assert factors.dtype == np.float32
    assert 0.7 <= factors.min() < 0.71
    assert 1.29 < factors.max() <= 1.3
    assert abs(factors.mean() - 1) < 0.01
    np.testing.assert_array_equal(augmentation.factors(1, 0, rows[5:9]), factors[5:9])
    assert (augmentation.factors(1, 1, rows) != factors).mean() > 0.99
    images = np.full((3, 2, 2, 3), 200, np.uint8)
    found = Preprocessing("none")(images, factors=np.array([0.7, 1.1, 1.3], np.float32)).numpy()
    np.testing.assert_allclose(found[:, 0, 0, 0], [140, 220, 255], rtol=1e-6)


def test_a_shift_repeats_the_edge() -> None:
    images = np.random.default_rng(0).integers(0, 256, (1, 6, 9, 3), np.uint8)
    shifted = Preprocessing("none")(images, np.array([[1, 0, 2, 0, 1, -1, 0, 0]], np.float32)).numpy()
    expected = images[:, np.clip(np.arange(6) - 1, 0, 5)][:, :, np.clip(np.arange(9) + 2, 0, 8)]
    np.testing.assert_array_equal(shifted, expected)


@pytest.mark.parametrize("mode", ["caffe", "torch", "tf"])
def test_standardised_as_keras_does(mode: str) -> None:
    images = np.random.default_rng(0).integers(0, 256, (4, 6, 9, 3), np.uint8)
    ours = Preprocessing("x/127.5-1" if mode == "tf" else mode)(images).numpy()  # type: ignore[arg-type]
    np.testing.assert_allclose(ours, preprocess_input(images.copy(), mode=mode), rtol=1e-6, atol=1e-6)


def test_other_standardisations(dataset: Dataset) -> None:
    images = np.concatenate(
        [b.images for b in Reader(dataset, dataset.splits["train"]).batches_of(range(420), 64)]
    )
    np.testing.assert_array_equal(Preprocessing("none")(images).numpy(), images)
    np.testing.assert_allclose(Preprocessing("x/255")(images).numpy(), images / 255, rtol=1e-6)
    each = Preprocessing("per_image")(images).numpy().reshape(420, -1)
    np.testing.assert_allclose(each.mean(axis=1), 0, atol=1e-5)
    np.testing.assert_allclose(each.std(axis=1), 1, rtol=1e-4)
    together = Preprocessing.of(dataset, "feature_wise")(images).numpy()
    np.testing.assert_allclose(together.mean(axis=(0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(together.std(axis=(0, 1, 2)), 1, rtol=1e-4)


def test_images_are_resized_where_asked(dataset: Dataset) -> None:
    preprocessing = Preprocessing.of(dataset, "none", EVERYTHING, 8)
    assert preprocessing.output_shape((5, 4, 3)) == (8, 8, 3)
    (_, images, *_), *_ = some(reader_of(dataset), preprocessing, 20, 1)
    assert images.shape == (20, 8, 8, 3)
    assert Preprocessing.of(dataset, "none", EVERYTHING, (5, 4)).size is None


def test_evaluation_has_every_row_once_and_pads_with_weight_0(dataset: Dataset) -> None:
    split = dataset.splits["test"]
    reader = Reader(dataset, split)
    batches = list(evaluation_stream(reader, range(3, 50), 16, Preprocessing("none")))
    rows, images, labels, weights = (np.concatenate([b[part].numpy() for b in batches]) for part in range(4))
    assert images.shape == (48, 5, 4, 3)
    np.testing.assert_array_equal(rows[weights == 1], np.arange(3, 50))
    np.testing.assert_array_equal(weights, [1] * 47 + [0])
    np.testing.assert_array_equal(labels, split.labels[rows])
    np.testing.assert_array_equal(images[47], images[32])
    assert not list(evaluation_stream(reader, range(4, 4), 16, Preprocessing("none")))


def test_what_the_reader_raises_comes_out_as_it_was(tmp_path: Path) -> None:
    make_folders(tmp_path / "images", {"cat": 20, "dog": 20})
    prepare(str(tmp_path / "images"), str(tmp_path / "made"), validation=0)
    dataset = open_dataset(str(tmp_path / "made"))
    (shard,) = (tmp_path / "made/train").iterdir()
    shard.unlink()
    reader = reader_of(dataset)
    with pytest.raises(DataError, match=r"train/00000-\w+.h5 is in the index, but not in the store"):
        some(reader, Preprocessing(), 20, 1)


def test_dropping_the_batches_ends_the_threads(dataset: Dataset) -> None:
    def fetching() -> set[threading.Thread]:
        return {thread for thread in threading.enumerate() if thread.name.startswith("fetch-")}

    before = fetching()
    reader = reader_of(dataset, small=False)
    batches = training_stream(reader, Preprocessing(), 3, 0, 21, 20)
    next(batches)
    started = fetching() - before
    assert started
    batches.close()
    for thread in started:
        thread.join(10)
        assert not thread.is_alive()


@pytest.mark.parametrize("small", [True, False])
def test_closing_the_batches_ends_their_reading_first(
    dataset: Dataset, small: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, ended = reader_of(dataset, small=small), threading.Event()
    read = reader.batches

    def watched(*steps: int) -> Iterator[Any]:
        yield from read(*steps)
        ended.set()

    monkeypatch.setattr(reader, "batches", watched)
    batches = training_stream(reader, Preprocessing(), 3, 0, 21, 20)
    assert batches.pipeline.options().autotune.enabled is False, "its thread would hold up the end"
    next(batches)
    batches.close()
    assert ended.is_set()


EXITS = """
import sys, threading, time
from trainer.dataset.open_dataset import Split, open_dataset
from trainer.dataset.order import Order
from trainer.dataset.pipeline.stream import Preprocessing, training_stream
from trainer.dataset.reading.reader import Reader

dataset = open_dataset(sys.argv[1])
split = dataset.splits["train"]
order = Order(split.chunks["rows"], split.row_bytes, 20, 5, 1, small_bytes=0, budget_bytes=9000)
reader = Reader(dataset, split, order, range(5), budget_bytes=9000)
batches = training_stream(reader, Preprocessing(), 1, 0, order.steps_per_epoch, 20)
next(batches)
Split.read = lambda *arguments, **options: threading.Event().wait()
time.sleep(1)
sys.exit(75)
"""


def test_a_process_ends_in_the_middle_of_its_batches_while_the_store_hangs(dataset: Dataset) -> None:
    done = subprocess.run([sys.executable, "-c", EXITS, dataset.url], timeout=120, check=False)
    assert done.returncode == 75


def test_memory_that_is_freed_is_not_faulted_in_again(dataset: Dataset) -> None:
    """TensorFlow's iterators over generators have glibc give back all but 128 KiB."""
    if not hasattr(ctypes.CDLL(None), "mallopt"):
        pytest.skip("glibc's")
    with training_stream(reader_of(dataset), Preprocessing(), 3, 0, 21, 20) as batches:
        next(batches)
        for _ in range(3):
            np.ones(20 << 20, np.uint8)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(20):
            np.ones(20 << 20, np.uint8)
        faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
    assert faults < 20 * (20 << 20) / resource.getpagesize() / 10
