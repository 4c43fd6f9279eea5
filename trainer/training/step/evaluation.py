"""One batch of an evaluation."""

from functools import reduce
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from trainer.distribution import Distribution
from trainer.models.loss import row_losses
from trainer.training.step.sums import Sums, metric_sums
from trainer.training.step.whole_sums import WholeSums


class EvaluationStep:
    """`step(images, labels, weights)` -> Sums, or WholeSums where it is exact, over this rank's rows that
    have weight 1; and the probabilities of these at least, float32 (n, classes). Rows of weight 0 are the
    last ones.

    Args:
        model: from (n, H, W, C) float32 to probabilities (n, classes).
        distribution: whose replicas share the rows, as many each.
        label_smoothing: of the loss.
        xla: whether XLA compiles it.
        exact: whether what is computed of a replica's rows and how it is added up is the same whoever has
            them; all are given as many rows at once then.
    """

    def __init__(
        self,
        model: keras.Model,
        distribution: Distribution,
        label_smoothing: float = 0.0,
        *,
        xla: bool = False,
        exact: bool = False,
    ) -> None:
        self.model = model
        self.distribution = distribution
        self.label_smoothing = label_smoothing
        self.exact = exact
        penalizes_rows = any(layer.activity_regularizer for layer in model._flatten_layers())
        self._crops = penalizes_rows and distribution.replicas == 1 and not exact
        self._replica = tf.function(self._evaluate, jit_compile=xla, autograph=False)
        self._all = tf.function(self._on_replicas, jit_compile=False, autograph=False)

    def __call__(
        self, images: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor
    ) -> tuple[Any, NDArray[np.float32]]:
        if self._crops:
            own = int(tf.math.count_nonzero(weights))  # a layer's mean over the rows is of these alone
            images, labels, weights = images[:own], labels[:own], weights[:own]
        found = self._all(images, labels, weights)
        sums, parts = ([part.numpy() for part in self.distribution.parts(one)] for one in found)
        total = self._total([Sums(*map(float, one)) for one in sums])
        return total, parts[0] if len(parts) == 1 else np.concatenate(parts)

    def nothing(self) -> Sums | WholeSums:
        """The sums over no rows."""
        return WholeSums() if self.exact else Sums()

    def _total(self, of_replicas: list[Sums]) -> Sums | WholeSums:
        if self.exact:
            return reduce(WholeSums.__add__, map(WholeSums.of, of_replicas))
        return reduce(Sums.__add__, of_replicas)

    def _on_replicas(self, *batch: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        own = self.distribution
        found: tuple[tf.Tensor, tf.Tensor] = own.run(self._on_replica, *map(own.spread, batch))
        return found

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
