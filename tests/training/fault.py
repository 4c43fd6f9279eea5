"""Arithmetic that flips a bit of the gradients, on the rank that the environment names."""

import os

import tensorflow as tf

from trainer.distribution import rank_variables
from trainer.training.step import ExactStep, TrainStep

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
    sound = TrainStep._computed

    def faulty(self, *arguments):
        (gradient, *others), *rest = sound(self, *arguments)
        bits = tf.bitcast(tf.reshape(gradient, [-1]), tf.int32)
        flip = tf.one_hot(_PLACE, tf.size(bits), dtype=tf.int32) * mask
        flipped = tf.bitcast(tf.bitwise.bitwise_xor(bits, flip), tf.float32)
        return [tf.reshape(flipped, gradient.shape), *others], *rest

    def from_step(call):
        def calling(self, number, *arguments):
            *batch, check = arguments
            mask.assign(_BIT if number == int(first) or (number > int(first) and how != "once") else 0)

            def checked(flat):
                if how == "once":
                    mask.assign(0)
                check(flat)

            return call(self, number, *batch, check and checked)

        return calling

    TrainStep._computed = faulty  # type: ignore[method-assign]
    for kind in (TrainStep, ExactStep):
        kind.__call__ = from_step(kind.__call__)  # type: ignore[method-assign]
