"""A digest of numbers to the bit, made where they are."""

import tensorflow as tf

_ODD = -7046029254386353131  # 2^64 / the golden ratio, as a signed number: odd, and its multiples spread


def digest(flat: tf.Tensor) -> tf.Tensor:
    """float32 or int64 (n,) -> int64 (): any one flipped bit changes it, and so do nearly all other changes.

    The sum, modulo 2^64, of each number's bits times an odd number that depends on its place. A flipped bit
    is a power of two times that. Whole numbers add up to the same in any order.
    """
    bits = flat if flat.dtype == tf.int64 else tf.cast(tf.bitcast(flat, tf.int32), tf.int64)
    places = tf.range(flat.shape[0], dtype=tf.int64)
    return tf.reduce_sum(bits * tf.bitwise.bitwise_or(places * _ODD, tf.constant(1, tf.int64)))
