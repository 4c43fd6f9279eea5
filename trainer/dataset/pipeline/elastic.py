"""Elastic deformation: points of an image are displaced at random, and everything between them smoothly.

After Simard, Steinkraus and Platt, "Best Practices for Convolutional Neural Networks", 2003, with random
displacements on a coarse grid, as Ronneberger, Fischer and Brox have them in "U-Net", 2015: a pixel's
displacement is the mean of those of the points, weighted by a Gaussian of its distance.
"""

from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from trainer.dataset.pipeline.augmentation import POINTS

DEVIATION = 0.5
"""The standard deviation of the Gaussian, in distances between two points."""


def point_weights(side: int) -> NDArray[np.float32]:
    """What each point counts for each pixel of a side, float32 (side, POINTS); rows add up to 1. The points
    stand in the middle of equal parts."""
    distance = side / POINTS
    points = (np.arange(POINTS) + 0.5) * distance - 0.5
    found = np.exp(-0.5 * ((np.arange(side)[:, None] - points) / (DEVIATION * distance)) ** 2)
    normalized: NDArray[np.float32] = (found / found.sum(1, keepdims=True)).astype(np.float32)
    return normalized


def field(grids: tf.Tensor, height: int, width: int) -> tf.Tensor:
    """Displacements of the points (n, POINTS, POINTS, 2) -> of the pixels, float32 (n, height, width, 2).

    Terms are added one by one, in one order, so that the bits do not depend on threads.
    """
    down, across = point_weights(height), point_weights(width)
    rows = sum(grids[:, None, i] * down[None, :, i, None, None] for i in range(POINTS))
    return sum(rows[:, :, None, i] * across[None, None, :, i, None] for i in range(POINTS))


def displaced(images: Any, grids: tf.Tensor) -> tf.Tensor:
    """float32 (n, H, W, C), each pixel taken from beside itself: bilinearly, the edge repeated outside."""
    height, width = images.shape[1], images.shape[2]
    moved = field(grids, height, width)
    y = tf.clip_by_value(np.arange(height, dtype=np.float32)[:, None] + moved[..., 0], 0.0, height - 1.0)
    x = tf.clip_by_value(np.arange(width, dtype=np.float32) + moved[..., 1], 0.0, width - 1.0)
    top, left = tf.floor(y), tf.floor(x)
    upper, first = tf.cast(top, tf.int32), tf.cast(left, tf.int32)
    lower, second = tf.minimum(upper + 1, height - 1), tf.minimum(first + 1, width - 1)
    down, across = (y - top)[..., None], (x - left)[..., None]

    def at(row: tf.Tensor, column: tf.Tensor) -> tf.Tensor:
        return tf.gather_nd(images, tf.stack([row, column], -1), batch_dims=1)

    above = at(upper, first) * (1 - across) + at(upper, second) * across
    below = at(lower, first) * (1 - across) + at(lower, second) * across
    return above * (1 - down) + below * down
