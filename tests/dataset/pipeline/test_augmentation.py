"""The changes of images beside those of Keras and SciPy, and that they are drawn by seed, epoch and row."""

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.src.legacy.preprocessing.image import apply_affine_transform, apply_channel_shift
from numpy.typing import NDArray
from scipy import ndimage

from tests.dataset.pipeline.test_stream import reader_of, some
from trainer.config import parse
from trainer.dataset.dataset import Dataset
from trainer.dataset.pipeline.augmentation import POINTS, Augmentation, affine
from trainer.dataset.pipeline.elastic import DEVIATION, field
from trainer.dataset.pipeline.preprocessing import Preprocessing
from trainer.training.setup.run_identity import run_identity

EVERYTHING = Augmentation(
    "both", 20, (0.3, 0.1), 0.2, 0.2, shear=15, contrast=0.4, channel_shift=30, elastic=0.1
)
ROWS = np.arange(20_000)


@pytest.fixture(scope="module")
def images() -> NDArray[np.uint8]:
    """Smooth ones, of which an error of a pixel's fraction is a small one."""
    noise = np.random.default_rng(0).integers(0, 256, (3, 5, 6, 3)).astype(np.float32)
    return np.asarray(tf.image.resize(noise, (20, 31)), np.uint8)


@pytest.mark.parametrize(
    ("angle", "shear", "tall", "wide"), [(0, 25, 1, 1), (20, 25, 1, 1), (-35, -12, 0.8, 1.2)]
)
def test_a_shear_is_that_of_keras(
    images: NDArray[np.uint8], angle: float, shear: float, tall: float, wide: float
) -> None:
    """Of square images: of others Keras swaps the two coordinates of the middle."""
    images = images[:, :, :20]

    def each(value: float) -> NDArray[np.float64]:
        return np.full(len(images), value, np.float64)

    transforms = affine(
        20, 20, angle=each(np.deg2rad(angle)), shear=each(np.deg2rad(shear)), tall=each(tall),
        wide=each(wide), down=each(0), right=each(0),
    )  # fmt: skip
    found = Preprocessing("none")(images, transforms).numpy()
    for ours, image in zip(found, images, strict=True):
        keras_s = apply_affine_transform(
            image.astype(np.float64), angle, 0, 0, shear, wide, tall, 0, 1, 2, "nearest"
        )
        np.testing.assert_allclose(ours, keras_s, atol=0.02)


@pytest.mark.parametrize("intensity", [-40.0, 60.0])
def test_a_channel_shift_is_that_of_keras(images: NDArray[np.uint8], intensity: float) -> None:
    found = Preprocessing("none")(images, offsets=np.full(3, intensity, np.float32)).numpy()
    for ours, image in zip(found, images, strict=True):
        np.testing.assert_allclose(
            ours, apply_channel_shift(image.astype(np.float32), intensity, 2), atol=1e-4
        )


@pytest.mark.parametrize("factor", [0.5, 1.0, 1.9])
def test_contrast_is_that_of_keras(images: NDArray[np.uint8], factor: float) -> None:
    layer = keras.layers.RandomContrast(0.9, value_range=(0, 255))
    expected = layer.transform_images(
        tf.cast(images, tf.float32), {"contrast_factor": tf.fill((3, 1, 1, 1), factor)}
    )
    found = Preprocessing("none")(images, contrasts=np.full(3, factor, np.float32))
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_an_elastic_deformation_is_that_of_scipy(images: NDArray[np.uint8]) -> None:
    """Displacements at points, smoothed by a Gaussian, and pixels interpolated between their neighbours."""
    height, width = 60, 60
    grids = Augmentation(elastic=0.1).grids(1, 0, np.arange(3), height, width)
    moved = field(tf.constant(grids), height, width).numpy()
    distance = height // POINTS
    # The points lie between pixels: of twice the size they are pixels.
    places = np.arange(POINTS) * 2 * distance + distance - 1
    sigma = 2 * DEVIATION * distance
    ones = np.zeros((2 * height, 2 * width))
    ones[np.ix_(places, places)] = 1
    weight = ndimage.gaussian_filter(ones, sigma, mode="constant", truncate=12)
    for axis in (0, 1):
        noise = np.zeros_like(ones)
        noise[np.ix_(places, places)] = grids[0, :, :, axis]
        smooth = ndimage.gaussian_filter(noise, sigma, mode="constant", truncate=12) / weight
        np.testing.assert_allclose(moved[0, ..., axis], smooth[::2, ::2], atol=0.02)
    assert np.abs(moved).max() <= 6
    assert np.abs(moved).max() > 2
    small = Augmentation(elastic=0.1).grids(1, 0, np.arange(3), 20, 31)
    found = Preprocessing("none")(images, grids=small).numpy()
    y, x = np.mgrid[:20, :31]
    down, right = np.moveaxis(field(tf.constant(small), 20, 31).numpy().astype(np.float64), -1, 0)
    for number, image in enumerate(images):
        for channel in range(3):
            expected = ndimage.map_coordinates(
                image[..., channel].astype(np.float64),
                [(y + down[number]).clip(0, 19), (x + right[number]).clip(0, 30)],
                order=1,
                mode="nearest",
            )
            np.testing.assert_allclose(found[number, ..., channel], expected, atol=0.01)
    assert np.abs(found - images).mean() > 1


def test_draws_depend_on_seed_epoch_and_row_alone() -> None:
    rows = np.array([9, 4, 100, 4])
    drawn = EVERYTHING.draw(1, 2, rows, 32, 48)
    assert {name: values.shape[1:] for name, values in drawn.items()} == EVERYTHING.shapes
    assert set(drawn) == {"grids", "transforms", "offsets", "contrasts", "factors"}
    for name, values in drawn.items():
        assert values.dtype == np.float32
        np.testing.assert_array_equal(values[1], values[3])
        np.testing.assert_array_equal(EVERYTHING.draw(1, 2, rows[2:3], 32, 48)[name][0], values[2])
        for seed, epoch in ((2, 2), (1, 3), (2, 1)):
            assert (EVERYTHING.draw(seed, epoch, rows, 32, 48)[name] != values).any()


def test_draws_are_even_and_independent() -> None:
    drawn = EVERYTHING.draw(1, 0, ROWS, 100, 200)
    offsets, contrasts, factors = (drawn[name] for name in ("offsets", "contrasts", "factors"))
    assert -30 <= offsets.min() < -29.9 < 29.9 < offsets.max() <= 30
    assert abs(offsets.mean()) < 0.5
    assert 0.6 <= contrasts.min() < 0.61 < 1.39 < contrasts.max() <= 1.4
    grids = drawn["grids"][:2000]
    assert np.abs(grids[..., 0]).max() <= 10
    assert 19.9 < np.abs(grids[..., 1]).max() <= 20
    parts = np.stack([offsets[:2000], contrasts[:2000], factors[:2000], *grids.reshape(2000, -1).T[:6]])
    correlated = np.corrcoef(parts) - np.eye(len(parts))
    assert np.abs(correlated).max() < 0.1


def test_shifts_may_differ_in_height_and_width() -> None:
    transforms = Augmentation(shift=(0.3, 0.1)).transforms(1, 0, ROWS, 100, 200)
    assert 19.9 < np.abs(transforms[:, 2]).max() <= 20
    assert 29.9 < np.abs(transforms[:, 5]).max() <= 30
    one, both = (Augmentation(shift=shift).transforms(1, 0, ROWS, 9, 9) for shift in (0.2, (0.2, 0.2)))
    np.testing.assert_array_equal(one, both)


def test_what_is_not_used_draws_nothing_and_changes_no_other_draw() -> None:
    assert Augmentation().draw(1, 0, ROWS, 9, 9) == {}
    old = Augmentation("both", 20, 0.2, 0.2, 0.2)
    new = Augmentation("both", 20, 0.2, 0.2, 0.2, contrast=0.4, channel_shift=30, elastic=0.1)
    for name in ("transforms", "factors"):
        np.testing.assert_array_equal(old.draw(3, 1, ROWS, 9, 9)[name], new.draw(3, 1, ROWS, 9, 9)[name])


def test_ranks_together_have_the_images_of_one(dataset: Dataset) -> None:
    preprocessing = Preprocessing("none", EVERYTHING, (9, 8))
    whole = some(reader_of(dataset), preprocessing, 20, 6)
    parts = [some(reader_of(dataset, 5, rank), preprocessing, 4, 6) for rank in range(5)]
    for number, (_, images, *_) in enumerate(whole):
        np.testing.assert_array_equal(np.concatenate([part[number][1] for part in parts]), images)


def test_the_identity_of_a_run_has_what_it_uses_and_is_otherwise_as_it_was() -> None:
    def identity(**augment: Any) -> Any:
        values = {"data": {"url": "/d", "augment": augment}, "model": {"name": "dcnn"}, "run": {"url": "/r"}}
        return run_identity(parse(values), "", 1)["augment"]

    assert identity() == {"flip": "none", "rotate": 0, "shift": 0, "zoom": 0}
    assert identity(shear=3, shift=[0.1, 0.2])["shear"] == 3
    assert identity(shear=3, shift=[0.1, 0.2])["shift"] == [0.1, 0.2]
    assert identity(elastic=0.1) != identity()
