"""Heat maps show what the network looks at."""

import logging
from typing import cast

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from tests.synthetic_pages import evaluation_of
from trainer.dataset.dataset import Dataset
from trainer.evaluation.heat_maps import grad_cam, heat_document
from trainer.models.networks.dcnn import small_resnet


def corner_network(*, nested: bool) -> keras.Model:
    """Its second class is the brightness of the image, its first is fixed: only bright parts speak for it."""
    image = keras.Input((8, 8, 1))
    inner = keras.Input((8, 8, 1))
    x = layers.AveragePooling2D(2)(inner)
    x = layers.Conv2D(2, 1, use_bias=False, name="conv")(x)
    body = keras.Model(inner, layers.GlobalAveragePooling2D()(x))
    output = layers.Softmax()(body(image))
    model = keras.Model(image, output) if nested else keras.Model(inner, layers.Softmax()(body.output))
    body.get_layer("conv").set_weights([np.array([0.0, 40.0], np.float32).reshape(1, 1, 1, 2)])
    return model


@pytest.mark.parametrize("nested", [False, True])
def test_a_map_is_bright_where_the_image_speaks_for_its_class(nested: bool) -> None:
    images = np.zeros((2, 8, 8, 1), np.float32)
    images[0, :2, :2] = 1.0
    images[1, 4:6, 6:] = 1.0
    model = corner_network(nested=nested)
    before = model(images).numpy()
    probabilities, heat = grad_cam(model, tf.constant(images))
    assert heat is not None
    assert heat.shape == (2, 4, 4)
    assert [np.unravel_index(one.argmax(), one.shape) for one in heat] == [(0, 0), (2, 3)]
    assert (heat > 0).sum() == 2
    assert heat.max() == 255
    assert (probabilities == before).all()
    assert all("call" not in vars(layer) for layer in model._flatten_layers())


def test_a_network_that_is_sure_has_a_map_too() -> None:
    """The gradient of a softmax that is 1 would be 0."""
    model, images = corner_network(nested=False), np.ones((1, 8, 8, 1), np.float32)
    probabilities, heat = grad_cam(model, tf.constant(images))
    assert probabilities[0, 1] == 1
    assert heat is not None
    assert heat.max() == 255


def test_layers_before_the_last_map_have_no_gradients() -> None:
    """Those of some convolutions end oneDNN, and the process with it, as here for 16 x 16 pixels."""
    model = small_resnet((16, 16, 3), 3, width=8, depth=1)
    heat = grad_cam(model, tf.random.stateless_normal((4, 16, 16, 3), (1, 2)))[1]
    assert heat is not None
    assert heat.shape == (4, 4, 4)


def test_a_network_without_maps_has_none() -> None:
    model = keras.Sequential(
        [keras.Input((8, 8, 1)), layers.Flatten(), layers.Dense(2, activation="softmax")]
    )
    assert grad_cam(model, tf.zeros((1, 8, 8, 1)))[1] is None


def test_what_fails_is_logged_and_leaves_the_maps_out(caplog: pytest.LogCaptureFixture) -> None:
    class Empty:
        name, rows, labels = "test", 1, np.zeros(1, np.uint8)

    dataset = cast(Dataset, type("Data", (), {"split": lambda *_: Empty(), "image_shape": (8, 8, 1)})())
    model = corner_network(nested=False)
    with caplog.at_level(logging.WARNING):
        assert heat_document(model, lambda images: tf.constant(images), dataset, evaluation_of(10)) is None
    assert "the report has no heat maps" in caplog.text
