"""One batch of an evaluation."""

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from trainer.distribution import Distribution
from trainer.models.loss import row_losses
from trainer.training.step.sums import Sums, metric_sums


class EvaluationStep:
    """`step(images, labels, weights)` -> Sums over this rank's rows that have weight 1, and the
    probabilities of these at least, float32 (n, classes). Rows of weight 0 are the last ones.

    Args:
        model: from (n, H, W, C) float32 to probabilities (n, classes).
        distribution: whose replicas share the rows, as many each.
        label_smoothing: of the loss.
        xla: whether XLA compiles it.
    """

    def __init__(
        self,
        model: keras.Model,
        distribution: Distribution,
        label_smoothing: float = 0.0,
        *,
        xla: bool = False,
    ) -> None:
        self.model = model
        self.distribution = distribution
        self.label_smoothing = label_smoothing
        self._penalizes_rows = any(layer.activity_regularizer for layer in model._flatten_layers())
        self._replica = tf.function(self._evaluate, jit_compile=xla, autograph=False)
        self._all = tf.function(self._on_replicas, jit_compile=False, autograph=False)

    def __call__(
        self, images: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor
    ) -> tuple[Sums, NDArray[np.float32]]:
        if self._penalizes_rows and self.distribution.replicas == 1:
            own = int(tf.math.count_nonzero(weights))  # a layer's mean over the rows is of these alone
            images, labels, weights = images[:own], labels[:own], weights[:own]
        sums, probabilities = self._all(images, labels, weights)
        parts = [part.numpy() for part in self.distribution.parts(probabilities)]
        return Sums(*map(float, sums.numpy())), parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _on_replicas(self, *batch: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        own = self.distribution
        sums, probabilities = own.run(self._on_replica, *map(own.spread, batch))
        return own.total(sums), probabilities

    def _on_replica(self, *batch: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Uses this replica's copies of the variables: XLA accepts none of another device."""
        trained, others = (
            [tf.convert_to_tensor(v.value) for v in variables]
            for variables in (self.model.trainable_variables, self.model.non_trainable_variables)
        )
        found: tuple[tf.Tensor, tf.Tensor] = self._replica(trained, others, *batch)
        return found

    def _evaluate(
        self,
        trained: list[tf.Tensor],
        others: list[tf.Tensor],
        images: tf.Tensor,
        labels: tf.Tensor,
        weights: tf.Tensor,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        found, _, penalties = self.model.stateless_call(
            trained, others, images, training=False, return_losses=True
        )
        probabilities = tf.cast(found, tf.float32)
        losses = row_losses(labels, probabilities, self.label_smoothing, penalties)
        return metric_sums(labels, probabilities, losses, weights), probabilities
