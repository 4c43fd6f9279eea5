"""What a step assigns, once the ranks have summed: weights, optimizer and statistics, or nothing."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from trainer.training.learning_rate import LearningRateSchedule
from trainer.training.step.variables import StepVariables


class Update:
    """`update(gradients, rest)` -> whether the sums were finite, as a boolean `tf.Tensor`; if not, nothing
    was assigned.

    A loss scale that was too high skips the update of the weights and is halved; after enough updates it is
    doubled, as by keras.optimizers.LossScaleOptimizer, whose own `apply` knows one replica only. All ranks
    see the same sums, so all of them skip the same step.

    `gradient_accumulation_steps` and moving averages are the optimizer's own: it counts each step, and so
    does the schedule, and assigns weights in every n-th.

    Args:
        variables: of the network.
        optimizer: built for its trained variables.
        schedule: of the learning rate; None for a constant one.
    """

    def __init__(
        self,
        variables: StepVariables,
        optimizer: keras.optimizers.Optimizer,
        schedule: LearningRateSchedule | None = None,
    ) -> None:
        self.variables = variables
        self.schedule = None if schedule is None or schedule.constant else schedule
        self.loss_scale = optimizer if isinstance(optimizer, keras.optimizers.LossScaleOptimizer) else None
        self.optimizer = self.loss_scale.inner_optimizer if self.loss_scale else optimizer

    def __call__(self, gradients: tf.Tensor, rest: tf.Tensor) -> tf.Tensor:
        """`gradients` and `rest`, the statistics' changes and what was counted, are flat float32 vectors."""
        own = self.variables
        count = len(own.trained)
        finite = tf.reduce_all(tf.math.is_finite(rest))
        if not self.loss_scale:
            finite &= tf.reduce_all(tf.math.is_finite(gradients))
        apart = tf.split(gradients, own.sizes[:count]) if count else []
        *changes, _ = tf.split(rest, [*own.sizes[count:], rest.shape[0] - sum(own.sizes[count:])])
        shaped = [tf.reshape(t, shape) for t, shape in zip([*apart, *changes], own.shapes, strict=True)]
        tf.cond(finite, lambda: self._assign(shaped[:count], shaped[count:]), lambda: tf.constant(False))
        return finite

    def rate(self) -> float:
        """The learning rate of the next step."""
        given = float(self.optimizer.learning_rate.numpy())
        done = tf.convert_to_tensor(self._steps.value)
        return given * float(self.schedule(done)) if self.schedule else given

    def scale(self) -> tf.Tensor:
        """What the loss is multiplied by, float32, and the optimizer divides the gradients by."""
        if self.loss_scale:
            return tf.convert_to_tensor(self.loss_scale.dynamic_scale.value)
        return tf.constant(self.optimizer.loss_scale_factor or 1.0, tf.float32)

    @property
    def _steps(self) -> keras.Variable:
        """The steps that were applied, accumulated ones too; `iterations` counts a group of these as one."""
        return self.optimizer._iterations

    def _assign(self, gradients: Sequence[tf.Tensor], changes: Sequence[tf.Tensor]) -> tf.Tensor:
        if self.loss_scale:
            self._apply_scaled(self.loss_scale, gradients)
        else:
            self._apply(gradients)
        for variable, change in zip(self.variables.statistics, changes, strict=True):
            variable.assign(variable.value + tf.cast(change, variable.dtype))
        return tf.constant(True)

    def _apply_scaled(self, own: keras.optimizers.LossScaleOptimizer, gradients: Sequence[tf.Tensor]) -> None:
        scale, counter = own.dynamic_scale, own.step_counter

        def apply() -> tf.Tensor:
            self._apply([g / scale.value for g in gradients])
            grown = tf.equal(counter.value, own.dynamic_growth_steps - 1)
            scale.assign(scale.value * tf.where(grown, 2.0, 1.0))
            counter.assign(tf.where(grown, tf.zeros_like(counter.value), counter.value + 1))
            return tf.constant(True)

        def skip() -> tf.Tensor:
            scale.assign(scale.value * 0.5)
            counter.assign(tf.zeros_like(counter.value))
            return tf.constant(False)

        finite = tf.reduce_all([tf.reduce_all(tf.math.is_finite(g)) for g in gradients])
        tf.cond(finite, apply, skip)

    def _apply(self, gradients: Sequence[tf.Tensor]) -> None:
        # A variable without a gradient is left alone, by weight decay too.
        connected = [None if i in self.variables.unconnected else g for i, g in enumerate(gradients)]
        if self.schedule is None:
            self.optimizer.apply(connected, self.variables.trained)
            return
        rate = self.optimizer.learning_rate
        given = tf.identity(rate.value)
        rate.assign(given * self.schedule(self._steps.value))
        self.optimizer.apply(connected, self.variables.trained)
        rate.assign(given)  # what callbacks see and change
