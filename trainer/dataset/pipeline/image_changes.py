"""What is done to images by what `Augmentation.draw` draws, as TensorFlow's graph."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from trainer.dataset.pipeline.elastic import displaced


def _moved(images: tf.Tensor, transforms: tf.Tensor) -> tf.Tensor:
    """float32 (n, 8) as `Augmentation.transforms`; the edge is repeated outside."""
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=transforms,
        output_shape=tf.shape(images)[1:3],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="NEAREST",
    )


def _offset(images: tf.Tensor, offsets: tf.Tensor) -> tf.Tensor:
    """Adds to all channels, within the smallest and the largest value of each image, as Keras's
    `apply_channel_shift`."""
    smallest, largest = (reduce(images, (1, 2, 3), True) for reduce in (tf.reduce_min, tf.reduce_max))
    return tf.minimum(tf.maximum(images + _of_each(offsets), smallest), largest)


def _contrasted(images: tf.Tensor, contrasts: tf.Tensor) -> tf.Tensor:
    """Multiplies the distance from each channel's mean, within 0..255, as `keras.layers.RandomContrast`."""
    mean = tf.reduce_mean(images, (1, 2), True)
    return tf.clip_by_value((images - mean) * _of_each(contrasts) + mean, 0.0, 255.0)


def _brightened(images: tf.Tensor, factors: tf.Tensor) -> tf.Tensor:
    return tf.minimum(images * _of_each(factors), 255.0)


def _of_each(values: tf.Tensor) -> tf.Tensor:
    """(n,) -> (n, 1, 1, 1)."""
    return values[:, None, None, None]


CHANGES: dict[str, Callable[[Any, Any], tf.Tensor]] = {
    "grids": displaced,
    "transforms": _moved,
    "offsets": _offset,
    "contrasts": _contrasted,
    "factors": _brightened,
}
"""In their order: images float32 (n, H, W, C) in 0..255, and what was drawn for them -> such images."""
