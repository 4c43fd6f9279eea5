"""Residual networks (He et al., "Deep Residual Learning for Image Recognition", 2015, arXiv:1512.03385)."""

from collections.abc import Callable
from typing import Any

import keras
from keras import layers

from trainer.models.networks.head import classify
from trainer.models.networks.scale import Scale

EPSILON = 1.1e-5
"""Epsilon of the batch norms of `resnet152-scale`, with which its ImageNet weights were converted."""


def resnet50(image_shape: tuple[int, int, int], classes: int) -> keras.Model:
    """Keras's ResNet-50 with random weights and a head of `classes` nodes."""
    return _of_keras(keras.applications.ResNet50, image_shape, classes, "resnet50")


def resnet101(image_shape: tuple[int, int, int], classes: int) -> keras.Model:
    """Keras's ResNet-101 with random weights and a head of `classes` nodes."""
    return _of_keras(keras.applications.ResNet101, image_shape, classes, "resnet101")


def resnet152(image_shape: tuple[int, int, int], classes: int) -> keras.Model:
    """Keras's ResNet-152 with random weights and a head of `classes` nodes."""
    return _of_keras(keras.applications.ResNet152, image_shape, classes, "resnet152")


def _of_keras(
    network: Callable[..., keras.Model], image_shape: tuple[int, int, int], classes: int, name: str
) -> keras.Model:
    body = network(include_top=False, weights=None, input_shape=image_shape, pooling="avg")
    return keras.Model(body.input, classify(body.output, classes), name=name)


def resnet152_scale(image_shape: tuple[int, int, int], classes: int) -> keras.Model:
    """The ResNet-152 of the cars document, with random weights: a `Scale` after each batch norm.

    Its layers are named as in Caffe, and so as in `resnet152_weights_tf.h5`; its head is the `fc8` of those
    who tuned that network. It averages over the whole last map, which at 224 pixels is the 7 x 7 of the
    original. Its images are standardized `caffe`.
    """
    return scaled_resnet(image_shape, classes, name="resnet152-scale")


def scaled_resnet(
    image_shape: tuple[int, int, int],
    classes: int,
    blocks: tuple[int, int, int, int] = (3, 8, 36, 3),
    width: int = 64,
    name: str = "scaled_resnet",
) -> keras.Model:
    """Four stages of `blocks` bottlenecks, the first of `width` filters, each later one of twice as many."""
    image = keras.Input(image_shape, name="data")
    x = layers.ZeroPadding2D((3, 3), name="conv1_zeropadding")(image)
    x = layers.Conv2D(width, 7, strides=2, use_bias=False, name="conv1")(x)
    x = _scaled(x, "_conv1")
    x = layers.Activation("relu", name="conv1_relu")(x)
    x = layers.MaxPooling2D(3, strides=2, name="pool1")(x)
    for stage, count in enumerate(blocks, start=2):
        for number in range(count):
            stride = 2 if number == 0 and stage > 2 else 1
            x = _bottleneck(x, width * 2 ** (stage - 2), block_name(stage, number), stride, number == 0)
    x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
    probabilities = layers.Dense(classes, activation="softmax", dtype="float32", name="fc8")(x)
    return keras.Model(image, probabilities, name=name)


def block_name(stage: int, number: int) -> str:
    """Caffe's name of a block: 2a, 2b, 2c; 3a, 3b1 … 3b7; 4a, 4b1 … 4b35; 5a, 5b, 5c."""
    if stage in (3, 4):
        return f"{stage}b{number}" if number else f"{stage}a"
    return f"{stage}{chr(ord('a') + number)}"


def _bottleneck(inputs: Any, filters: int, name: str, stride: int, project: bool) -> Any:
    """1x1, 3x3 and 1x1 convolutions beside a shortcut, which is a 1x1 convolution where `project` says so."""
    x = layers.Conv2D(filters, 1, strides=stride, use_bias=False, name=f"res{name}_branch2a")(inputs)
    x = _scaled(x, f"{name}_branch2a")
    x = layers.Activation("relu", name=f"res{name}_branch2a_relu")(x)
    x = layers.ZeroPadding2D((1, 1), name=f"res{name}_branch2b_zeropadding")(x)
    x = layers.Conv2D(filters, 3, use_bias=False, name=f"res{name}_branch2b")(x)
    x = _scaled(x, f"{name}_branch2b")
    x = layers.Activation("relu", name=f"res{name}_branch2b_relu")(x)
    x = layers.Conv2D(4 * filters, 1, use_bias=False, name=f"res{name}_branch2c")(x)
    x = _scaled(x, f"{name}_branch2c")
    shortcut = inputs
    if project:
        convolution = layers.Conv2D(4 * filters, 1, strides=stride, use_bias=False, name=f"res{name}_branch1")
        shortcut = _scaled(convolution(inputs), f"{name}_branch1")
    x = layers.Add(name=f"res{name}")([x, shortcut])
    return layers.Activation("relu", name=f"res{name}_relu")(x)


def _scaled(x: Any, name: str) -> Any:
    return Scale(name=f"scale{name}")(layers.BatchNormalization(epsilon=EPSILON, name=f"bn{name}")(x))
