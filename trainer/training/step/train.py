"""One training step as a pure function of state and batch, with one exchange between the ranks.

Gradients, batch-norm statistics, metric sums and the stop vote travel as one flat vector that is summed
over the ranks; only then is anything assigned. A failure before or in the exchange therefore leaves the
state of the step before, and afterwards every rank holds the same state to the bit. The exchange lies between
the gradients and the update, so that XLA can compile both.
"""

from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from trainer.distribution import Distribution
from trainer.distribution.single import LATER
from trainer.models.loss import penalty, row_losses
from trainer.training.learning_rate import LearningRateSchedule
from trainer.training.step.fixed_point import Exponents
from trainer.training.step.sums import Result, Sums, metric_sums
from trainer.training.step.update import Update
from trainer.training.step.variables import StepVariables


class TrainStep:
    """`step(number, images, labels, weights, stop)` -> a result that is read with `read`.

    Args:
        model: from (n, H, W, C) float32 to probabilities (n, classes) of any floating-point dtype.
        optimizer: built for the model's trainable variables.
        distribution: the ranks that sum, and the replicas of this one.
        batch_size: rows of the global batch, by which the summed loss is divided.
        micro_rows: rows that a replica works at once; a rank's batch is a multiple of all replicas' rows.
        micro_lanes: lanes that those rows are.
        first_lane: the first lane of this rank.
        seed: of the run.
        class_weights: (classes,) float32, or None.
        label_smoothing: 0 to below 1.
        schedule: of the learning rate; None for a constant one.
        xla: whether XLA compiles gradients and update. The update of several replicas is never compiled.
        exchange_dtype: as which gradients travel; all else travels as float32.

    Attributes:
        exponents: of an `ExactStep`; none here.
    """

    exponents: Exponents | None = None

    def __init__(
        self,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        distribution: Distribution,
        *,
        batch_size: int,
        micro_rows: int,
        micro_lanes: int,
        first_lane: int,
        seed: int,
        class_weights: NDArray[np.float32] | None = None,
        label_smoothing: float = 0.0,
        schedule: LearningRateSchedule | None = None,
        xla: bool = False,
        exchange_dtype: str = "float32",
    ) -> None:
        self.model = model
        self.optimizer = optimizer
        self.distribution = distribution
        self.batch_size = batch_size
        self.micro_rows = micro_rows
        self.micro_lanes = micro_lanes
        self.first_lane = first_lane
        self.seed = seed
        self.label_smoothing = label_smoothing
        self.xla = xla
        self.exchange_dtype = exchange_dtype
        self.class_weights = None if class_weights is None else tf.constant(class_weights, tf.float32)
        self.variables = StepVariables(model)
        self.update = Update(self.variables, optimizer, schedule)
        self.rate = self.update.rate
        self._micro = tf.function(self._micro_batch, jit_compile=xla, autograph=False)
        self._update = tf.function(
            self.update, jit_compile=xla and distribution.replicas == 1, autograph=False
        )
        self._accumulate = tf.function(self._on_replicas, jit_compile=False, autograph=False)
        self._finish = tf.function(self._last, jit_compile=False, autograph=False)
        self._conclude = tf.function(self._exchange_and_update, jit_compile=False, autograph=False)

    def __call__(
        self,
        number: int,
        images: tf.Tensor,
        labels: tf.Tensor,
        weights: tf.Tensor,
        stop: bool,
        check: Callable[[tf.Tensor], None] | None = None,
    ) -> tf.Tensor:
        """One optimizer update from this rank's rows; `number` counts steps from 0.

        Args:
            images: (rows, H, W, C) float32, rows a multiple of `micro_rows` and the replicas.
            labels: (rows,) int32.
            weights: (rows,) float32, 0 for padding.
            stop: whether this rank wants to stop after an agreed step.
            check: is given what `first_part` gives for these rows, before anything is exchanged or assigned.

        Raises:
            tf.errors.UnknownError: a rank was lost; nothing was changed.
        """
        replicas = self.distribution.replicas
        at_once = self.micro_rows * replicas
        parts = images.shape[0] // at_once
        votes = np.zeros(replicas, np.float32)
        carry = None
        for part in range(parts):
            rows = slice(part * at_once, (part + 1) * at_once)
            batch = (images, labels, weights) if parts == 1 else (images[rows], labels[rows], weights[rows])
            seeds = self._seeds(number, self.first_lane + part * replicas * self.micro_lanes)
            if part == parts - 1:
                votes[0] = stop
                if part or not check:
                    return self._finish(*batch, seeds, tf.constant(votes), carry)
            carry = self._accumulate(*batch, seeds, tf.constant(votes), carry)
            if check and not part:
                check(carry)
        return self._conclude(carry)

    def first_part(
        self, number: int, images: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor, *, first_lane: int
    ) -> tf.Tensor:
        """What a rank whose lanes begin at `first_lane` computes in step `number` of its first micro-batch: a
        flat float32 vector, the last of it the vote to stop. `images`, `labels`, `weights` are its batch."""
        rows = self.micro_rows * self.distribution.replicas
        votes = tf.zeros(self.distribution.replicas)
        seeds = self._seeds(number, first_lane)
        return self._accumulate(images[:rows], labels[:rows], weights[:rows], seeds, votes, None)

    @staticmethod
    def read(result: tf.Tensor) -> Result:
        """Waits for the device."""
        *sums, votes, finite = map(float, result.numpy())
        return Result(Sums(*sums), votes, bool(finite))

    def _seeds(self, number: int, lane: int) -> tf.Tensor:
        """(replicas, n): those of each replica's first lane."""
        lanes = [lane + replica * self.micro_lanes for replica in range(self.distribution.replicas)]
        return tf.constant([self.variables.seeds(self.seed, number, lane) for lane in lanes])

    def _last(self, *batch: tf.Tensor) -> tf.Tensor:
        """The last micro-batch, then as `_exchange_and_update`."""
        return self._exchange_and_update(self._on_replicas(*batch))

    def _exchange_and_update(self, of_replicas: tf.Tensor) -> tf.Tensor:
        """The exchange, then the assignments -> sums, votes, finite, (6,) float32."""
        mine = self.distribution.total(of_replicas)
        gradients, rest = self._exchange(mine)
        finite = self._update(gradients, rest)
        return tf.concat([rest[-5:], [tf.cast(finite, tf.float32)]], 0)

    def _exchange(self, mine: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Gradients, and all else, summed over the ranks."""
        sizes = [self.variables.gradients_size, mine.shape[0] - self.variables.gradients_size]
        exchange = self.distribution.exchange
        if self.exchange_dtype == "float32":
            return tuple(tf.split(exchange(mine), sizes))
        gradients, rest = tf.split(mine, sizes)
        narrow = exchange(tf.cast(gradients, self.exchange_dtype), "gradients")
        return tf.cast(narrow, tf.float32), exchange(rest, LATER)

    def _on_replicas(self, *batch: tf.Tensor) -> tf.Tensor:
        *arrays, carry = batch
        return self.distribution.run(self._on_replica, *map(self.distribution.spread, arrays), carry)

    def _on_replica(
        self,
        images: tf.Tensor,
        labels: tf.Tensor,
        weights: tf.Tensor,
        seeds: tf.Tensor,
        votes: tf.Tensor,
        carry: tf.Tensor | None,
    ) -> tf.Tensor:
        own, others = self.variables.trained_values(), self.variables.other_values(seeds[0])
        return self._micro(own, others, self.update.scale(), images, labels, weights, votes, carry)

    def _micro_batch(
        self,
        trained: list[tf.Tensor],
        others: list[tf.Tensor],
        scale: tf.Tensor,
        images: tf.Tensor,
        labels: tf.Tensor,
        weights: tf.Tensor,
        votes: tf.Tensor,
        carry: tf.Tensor | None,
    ) -> tf.Tensor:
        """Gradients, statistics' changes and what is counted, of this micro-batch, added to `carry`."""
        gradients, changes, counted = self._computed(trained, others, scale, images, labels, weights)
        flat = [tf.reshape(tf.cast(t, tf.float32), [-1]) for t in (*gradients, *changes, counted, votes)]
        own = tf.concat(flat, 0)
        return own if carry is None else carry + own

    def _computed(
        self,
        trained: list[tf.Tensor],
        others: list[tf.Tensor],
        scale: tf.Tensor,
        images: tf.Tensor,
        labels: tf.Tensor,
        weights: tf.Tensor,
    ) -> tuple[list[tf.Tensor], list[tf.Tensor], tf.Tensor]:
        """Gradients, statistics' changes and what is counted, of this micro-batch."""
        share = tf.reduce_sum(weights) / self.batch_size
        with tf.GradientTape() as tape:
            tape.watch(trained)
            probabilities, after, penalties = self.model.stateless_call(
                trained, others, images, training=True, return_losses=True
            )
            probabilities = tf.cast(probabilities, tf.float32)
            losses = row_losses(labels, probabilities, self.label_smoothing)
            if self.class_weights is not None:
                losses *= tf.gather(self.class_weights, labels)
            if penalties:
                losses += penalty(penalties)
            scaled = tf.reduce_sum(losses * weights) / self.batch_size * scale
        gradients = self.variables.connected(tape.gradient(scaled, trained))
        changes = [change * share for change in self.variables.changes(others, after)]
        return gradients, changes, metric_sums(labels, probabilities, losses, weights)


def balanced_class_weights(counts: Sequence[int] | NDArray[np.int64]) -> NDArray[np.float32]:
    """scikit-learn's "balanced": rows / (classes * rows of the class); 0 for a class without rows."""
    count = np.asarray(counts, np.float64)
    return np.where(count > 0, count.sum() / (len(count) * np.maximum(count, 1)), 0).astype(np.float32)
