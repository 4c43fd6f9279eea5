"""ZCA whitening: what comes out has no correlations left, whatever the network behind it."""

import keras
import numpy as np
import pytest
from keras.src.legacy.preprocessing.image import ImageDataGenerator

from trainer import models
from trainer.errors import ConfigError
from trainer.models import whitening_limit
from trainer.models.export import export
from trainer.models.whitening import fit, whitened
from trainer.models.whitening_limit import check_whitening

SHAPE = (6, 5, 3)
IMAGES = (np.random.default_rng(0).random((400, *SHAPE)).cumsum(1) / 6).astype(np.float32)


def white(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """What the network behind the whitening is given."""
    inner = keras.Model(model.inputs, model.get_layer("zca_reshape").output)
    return np.asarray(inner.predict_on_batch(images))


@pytest.mark.parametrize("name", ["lab-cnn", "small-resnet"])
def test_what_comes_out_is_white_and_centred(name: str) -> None:
    model = whitened(models.build(name, SHAPE, 4))
    fit(model, np.array_split(IMAGES, 7))
    flat = white(model, IMAGES).reshape(len(IMAGES), -1).astype(np.float64)
    np.testing.assert_allclose(flat.mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(flat.T @ flat / len(flat), np.eye(flat.shape[1]), atol=2e-3)


def test_of_centred_images_it_is_what_keras_does() -> None:
    """Keras's own takes each channel's mean, not each pixel's."""
    model = whitened(models.build("lab-cnn", SHAPE, 4))
    centred = IMAGES - IMAGES.mean(0)
    fit(model, [centred])
    theirs = ImageDataGenerator(featurewise_center=True, zca_whitening=True, zca_epsilon=1e-6)
    theirs.fit(centred)
    np.testing.assert_allclose(white(model, centred), theirs.standardize(centred.copy()), atol=5e-3)


@pytest.mark.parametrize("name", ["lab-cnn", "small-resnet"])
def test_the_exported_model_whitens_too_and_nothing_more_is_trained(name: str) -> None:
    network = models.build(name, SHAPE, 4)
    before = network.predict_on_batch(IMAGES)
    trained = len(network.trainable_variables)
    model = whitened(network)
    np.testing.assert_allclose(model.predict_on_batch(IMAGES), before, atol=1e-6)
    assert len(model.trainable_variables) == trained
    fit(model, [IMAGES])
    found = model.predict_on_batch(IMAGES)
    assert np.abs(found - before).max() > 1e-3
    np.testing.assert_allclose(export(model).predict_on_batch(IMAGES), found, atol=1e-6)


@pytest.mark.parametrize(
    ("memory", "fits", "refused", "says"),
    [
        (24 << 30, 64, 128, r"128x128x3 needs 90\.0 GiB, .* limit is 6\.0 GiB, a quarter.*image_size: 65 or"),
        (1 << 30, 28, 32, r"32x32x3 needs 0\.4 GiB, .* limit is 0\.2 GiB, a quarter.*image_size: 29 or"),
    ],
)
def test_images_that_are_too_large_for_the_memory_are_refused(
    monkeypatch: pytest.MonkeyPatch, memory: int, fits: int, refused: int, says: str
) -> None:
    monkeypatch.setattr(whitening_limit, "available_memory", lambda: memory)
    check_whitening((fits, fits, 3))
    with pytest.raises(ConfigError, match=says):
        check_whitening((refused, refused, 3))


def test_a_network_with_scale_layers_is_refused() -> None:
    with pytest.raises(ConfigError, match="zca does not work with resnet152-scale"):
        whitened(models.build("resnet152-scale", (32, 32, 3), 4))
