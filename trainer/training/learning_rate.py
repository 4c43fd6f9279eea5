"""How the learning rate changes over a run: a factor for each step, of (step) alone."""

import math

import tensorflow as tf

from trainer.config.sections import TrainSection


class LearningRateSchedule:
    """`schedule(step)`: step () of any integer dtype, counted from 0 -> factor () float32.

    The factor is of `optimizer.learning_rate`, which callbacks may change beside it. First it rises evenly
    over `train.warmup_epochs` (Goyal et al., 2017, arXiv:1706.02677), then it is that of `train.schedule`:
    `constant`; `cosine`, down to 0 at the run's end (Loshchilov and Hutter, 2017, arXiv:1608.03983); or
    `inverse_time`, 1 / (1 + train.decay * step), as the argument `decay` of Keras's optimizers before 2.11.
    """

    def __init__(self, train: TrainSection, steps_per_epoch: int) -> None:
        self._kind, self._decay = train.schedule, train.decay
        self._warmup = round(train.warmup_epochs * steps_per_epoch)
        self._total = train.epochs * steps_per_epoch

    @property
    def constant(self) -> bool:
        """Whether the factor is always 1."""
        return self._kind == "constant" and not self._warmup

    def __call__(self, step: tf.Tensor) -> tf.Tensor:
        done = tf.cast(step, tf.float32)
        factor = tf.constant(1.0)
        if self._kind == "inverse_time":
            factor = 1.0 / (1.0 + self._decay * done)
        elif self._kind == "cosine":
            share = (done - self._warmup) / max(1, self._total - self._warmup)
            factor = (1.0 + tf.cos(math.pi * tf.clip_by_value(share, 0.0, 1.0))) / 2.0
        if self._warmup:
            factor = tf.where(done < self._warmup, (done + 1.0) / self._warmup, factor)
        return factor
