"""The loss of Keras's `fit` and `evaluate`: each row's cross-entropy, and what regularizers add."""

from collections.abc import Sequence

import keras
import tensorflow as tf


def row_losses(
    labels: tf.Tensor, probabilities: tf.Tensor, smoothing: float, penalties: Sequence[tf.Tensor] = ()
) -> tf.Tensor:
    """(n,) float32, of labels (n,) int32 and probabilities float32 (n, classes).

    Args:
        smoothing: of the labels, from 0 to below 1.
        penalties: the network's `losses`: each is added to the loss of every row, whose mean it is a part of.
    """
    if smoothing:
        expected = tf.one_hot(labels, probabilities.shape[-1])
        losses = keras.losses.categorical_crossentropy(expected, probabilities, label_smoothing=smoothing)
    else:
        losses = keras.losses.sparse_categorical_crossentropy(labels, probabilities)
    return losses + penalty(penalties) if penalties else losses


def penalty(penalties: Sequence[tf.Tensor]) -> tf.Tensor:
    """() float32: their sum."""
    return tf.add_n([tf.reduce_sum(tf.cast(term, tf.float32)) for term in penalties])
