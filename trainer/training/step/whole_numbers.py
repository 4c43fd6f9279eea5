"""The whole numbers of `fixed_point`, in TensorFlow: the same to the bit."""

from collections.abc import Sequence

import tensorflow as tf


def quantised(values: Sequence[tf.Tensor], scales: tf.Tensor, limit: float) -> tuple[tf.Tensor, tf.Tensor]:
    """One group's numbers of each variable, as `fixed_point.quantised` turns them into whole numbers.

    Args:
        values: of each variable, float32 of any shape, with a number at least.
        scales: (variables,) float64, two to the exponents.
        limit: what the magnitude of each has to stay below.

    Returns: all of them in one flat int64 vector; and (variables,) float64, the largest magnitude of each,
        which is not finite where a number is not. A variable whose largest is not below the limit has zeros.
    """
    rounded = [
        tf.round(tf.cast(tf.reshape(one, [-1]), tf.float64) * scale)
        for one, scale in zip(values, tf.unstack(scales, len(values)), strict=True)
    ]
    magnitudes = [tf.abs(one) for one in rounded]
    totals = tf.stack([tf.reduce_sum(one) for one in magnitudes])  # a maximum may ignore NaN
    tops = tf.stack([tf.reduce_max(one) for one in magnitudes])
    largest = tf.where(tf.math.is_finite(totals), tops, totals)
    fits = tf.unstack(largest < limit, len(values))
    whole = [tf.cast(tf.where(fit, one, 0.0), tf.int64) for fit, one in zip(fits, rounded, strict=True)]
    return tf.concat(whole, 0), largest


def turned_back(sums: tf.Tensor, sizes: Sequence[int], scales: tf.Tensor) -> tf.Tensor:
    """Flat int64 sums of variables of these sizes -> flat float32, as `fixed_point.turned_back`.

    `scales` are those of `quantised`, float64.
    """
    apart = zip(tf.split(sums, list(sizes)), tf.unstack(1 / scales, len(sizes)), strict=True)
    return tf.concat([tf.cast(tf.cast(one, tf.float64) * scale, tf.float32) for one, scale in apart], 0)
