"""How the learning rate changes over a phase of a run: a factor for each step, of (step) alone."""

import math
from typing import Protocol

import tensorflow as tf


class Course(Protocol):
    """What a schedule is made of: a phase, or the section `train` of a run without phases."""

    @property
    def epochs(self) -> int: ...
    @property
    def warmup_epochs(self) -> float: ...
    @property
    def schedule(self) -> str: ...
    @property
    def decay(self) -> float: ...


class LearningRateSchedule:
    """`schedule(step)`: step () of any integer dtype, counted from the phase's first -> factor () float32.

    The factor is of `optimizer.learning_rate`, which callbacks may change beside it. First it rises evenly
    over `warmup_epochs` (Goyal et al., 2017, arXiv:1706.02677), then it is that of `schedule`: `constant`;
    `cosine`, down to 0 at the phase's end (Loshchilov and Hutter, 2017, arXiv:1608.03983); or `inverse_time`,
    1 / (1 + decay * step), as the argument `decay` of Keras's optimizers before 2.11.
    """

    def __init__(self, course: Course, steps_per_epoch: int) -> None:
        self._kind, self._decay = course.schedule, course.decay
        self._warmup = round(course.warmup_epochs * steps_per_epoch)
        self._total = course.epochs * steps_per_epoch

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
