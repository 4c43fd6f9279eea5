"""Arithmetic that flips a bit of the gradients, on the rank that the environment names."""

import os

import tensorflow as tf

from trainer.distribution import rank_variables
from trainer.training.step import TrainStep

FAULT = "TEST_FAULT"
"""`rank step once`: one computation of that step; `rank step always`: all from that step on; `rank step
broken`: likewise, also after restarts."""

_PLACE, _BIT = 17, 1 << 20


def inject() -> None:
    """From now on this process computes as `FAULT` says."""
    if FAULT not in os.environ:
        return
    rank, first, how = os.environ[FAULT].split()
    if rank_variables.rank() != int(rank) or (rank_variables.generation() > 1 and how != "broken"):
        return
    mask = tf.Variable(0, dtype=tf.int32, trainable=False)
    sound, call = TrainStep._micro_batch, TrainStep.__call__

    def faulty(self, *arguments):
        flat = sound(self, *arguments)
        flip = tf.one_hot(_PLACE, tf.size(flat), dtype=tf.int32) * mask
        return tf.bitcast(tf.bitwise.bitwise_xor(tf.bitcast(flat, tf.int32), flip), tf.float32)

    def from_step(self, number, *arguments):
        *batch, check = arguments
        mask.assign(_BIT if number == int(first) or (number > int(first) and how != "once") else 0)

        def checked(flat):
            if how == "once":
                mask.assign(0)
            check(flat)

        return call(self, number, *batch, check and checked)  # type: ignore[call-arg]

    TrainStep._micro_batch, TrainStep.__call__ = faulty, from_step  # type: ignore[method-assign]
