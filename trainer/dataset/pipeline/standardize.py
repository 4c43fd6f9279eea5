"""The standardizations of images by name, each as a TensorFlow function and as the same in Python."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from trainer.config.types import Standardize


class ChannelStatistics(NamedTuple):
    """Mean and standard deviation of the training images for each channel, in 0..255."""

    mean: Sequence[float]
    std: Sequence[float]


@dataclass(frozen=True)
class Standardization:
    """
    Attributes:
        apply: images float32 (n, H, W, C) in 0..255 -> float32 of the same shape.
        python: the same as an expression of Python, of a float32 NumPy array `image` (H, W, C), and float32.
    """

    apply: Callable[[tf.Tensor, ChannelStatistics], tf.Tensor]
    python: Callable[[ChannelStatistics], str]


def _channels(values: Sequence[float], images: tf.Tensor) -> tf.Tensor:
    """`values` (C,) for a whole row of pixels, float32 (W, C): TensorFlow broadcasts three numbers at a time
    much more slowly."""
    return tf.constant(np.tile(np.asarray(values, np.float32), (images.shape[2], 1)))


def _numpy(values: Sequence[float]) -> str:
    return f"np.float32({list(values)})"


# As keras.applications.imagenet_utils.preprocess_input.
_CAFFE_MEAN_BGR = [103.939, 116.779, 123.68]
_TORCH_MEAN = [0.485, 0.456, 0.406]
_TORCH_STD = [0.229, 0.224, 0.225]
_LEAST_STD = 1e-6

STANDARDIZATIONS: dict[Standardize, Standardization] = {
    "none": Standardization(lambda x, _: x, lambda _: "image"),
    "x/255": Standardization(lambda x, _: x / 255.0, lambda _: "image / 255"),
    "x/127.5-1": Standardization(lambda x, _: x / 127.5 - 1.0, lambda _: "image / 127.5 - 1"),
    "per_image": Standardization(
        lambda x, _: tf.image.per_image_standardization(x),
        lambda _: "(image - image.mean()) / max(image.std(), image.size**-0.5)",
    ),
    "feature_wise": Standardization(
        lambda x, p: (x - _channels(p.mean, x)) / (_channels(p.std, x) + _LEAST_STD),
        lambda p: f"(image - {_numpy(p.mean)}) / {_numpy([std + _LEAST_STD for std in p.std])}",
    ),
    # The whitening itself is the network's first layer: trainer/models/whitening.py.
    "zca": Standardization(lambda x, _: x / 255.0, lambda _: "image / 255"),
    "caffe": Standardization(
        lambda x, _: tf.reverse(x, [-1]) - _channels(_CAFFE_MEAN_BGR, x),
        lambda _: f"image[..., ::-1] - {_numpy(_CAFFE_MEAN_BGR)}",
    ),
    "torch": Standardization(
        lambda x, _: (x / 255.0 - _channels(_TORCH_MEAN, x)) / _channels(_TORCH_STD, x),
        lambda _: f"(image / 255 - {_numpy(_TORCH_MEAN)}) / {_numpy(_TORCH_STD)}",
    ),
}
