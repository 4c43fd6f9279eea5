"""One training step as a pure function of state and batch, with one exchange between the ranks.

Gradients, batch-norm statistics, metric sums and the stop vote travel as one flat vector that is summed
over the ranks; only then is anything assigned. A failure before or in the exchange therefore leaves the
state of the step before, and afterwards every rank holds the same state to the bit.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from trainer.distribution import Distribution
from trainer.models.freeze import frozen_variables
from trainer.training.schedule import Schedule

TOP = 5


@dataclass
class Sums:
    """Metric sums over rows: exact counts, and the loss weighted as it was trained on."""

    loss: float = 0.0
    correct: float = 0.0
    top5: float = 0.0
    rows: float = 0.0

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(*(a + b for a, b in zip(self.values(), other.values(), strict=True)))

    def values(self) -> tuple[float, float, float, float]:
        return self.loss, self.correct, self.top5, self.rows

    def means(self, prefix: str = "") -> dict[str, float]:
        """Keras's log names -> means over the rows."""
        rows = max(self.rows, 1.0)
        return {
            f"{prefix}loss": self.loss / rows,
            f"{prefix}accuracy": self.correct / rows,
            f"{prefix}top5_accuracy": self.top5 / rows,
        }


@dataclass
class Result:
    """What a step says: sums over the global batch, how many ranks want to stop, and whether it was finite.

    A step that is not finite has assigned nothing, on any rank.
    """

    sums: Sums
    stop_votes: float
    finite: bool


def _row_losses(labels: tf.Tensor, probabilities: tf.Tensor, smoothing: float) -> tf.Tensor:
    if not smoothing:
        return keras.losses.sparse_categorical_crossentropy(labels, probabilities)
    expected = tf.one_hot(labels, probabilities.shape[-1])
    return keras.losses.categorical_crossentropy(expected, probabilities, label_smoothing=smoothing)


def _metric_sums(
    labels: tf.Tensor, probabilities: tf.Tensor, losses: tf.Tensor, counted: tf.Tensor
) -> tf.Tensor:
    """(4,) float32: loss, correct, top-5 and rows, over the rows that count."""
    top = min(TOP, probabilities.shape[-1])
    hit = tf.cast(tf.argmax(probabilities, -1, tf.int32) == labels, tf.float32)
    hit_top = tf.cast(tf.math.in_top_k(labels, probabilities, top), tf.float32)
    return tf.stack([tf.reduce_sum(v * counted) for v in (losses, hit, hit_top, tf.ones_like(losses))])


class TrainStep:
    """`step(number, images, labels, weights, stop)` -> a result that is read with `read`.

    Args:
        model: from (n, H, W, C) float32 to probabilities (n, classes) float32.
        optimizer: built for the model's trainable variables.
        distribution: the ranks that sum.
        batch_size: rows of the global batch, by which the summed loss is divided.
        micro_rows: rows worked at once; a rank's batch is a multiple of them.
        micro_lanes: lanes that those rows are.
        first_lane: the first lane of this rank.
        seed: of the run.
        class_weights: (classes,) float32, or None.
        label_smoothing: 0 to below 1.
        schedule: of the learning rate; None for a constant one.
    """

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
        schedule: Schedule | None = None,
    ) -> None:
        self.model = model
        self.optimizer = optimizer
        self.distribution = distribution
        self.batch_size = batch_size
        self.micro_rows = micro_rows
        self.micro_lanes = micro_lanes
        self.first_lane = first_lane
        self.seed = seed
        self._scales_loss = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
        self.label_smoothing = label_smoothing
        self.schedule = None if schedule is None or schedule.constant else schedule
        self.class_weights = None if class_weights is None else tf.constant(class_weights, tf.float32)
        seeds = {id(v) for v in seed_variables(model)}
        self._seeded = [id(v) in seeds for v in model.non_trainable_variables]
        still = seeds | frozen_variables(model)
        self._statistics = [
            i
            for i, v in enumerate(model.non_trainable_variables)
            if id(v) not in still and v.dtype.startswith("float")
        ]
        exchanged = [
            *model.trainable_variables,
            *(model.non_trainable_variables[i] for i in self._statistics),
        ]
        self._shapes = [tuple(v.shape) for v in exchanged]
        self._sizes = [int(np.prod(shape)) for shape in self._shapes]
        self._zeros = tf.zeros(sum(self._sizes) + 4)
        self._accumulate = tf.function(self._micro_batch, jit_compile=False, autograph=False)
        self._finish = tf.function(self._last_micro_batch, jit_compile=False, autograph=False)

    def __call__(
        self, number: int, images: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor, stop: bool
    ) -> tf.Tensor:
        """One optimizer update from this rank's rows; `number` counts steps from 0.

        Args:
            images: (rows, H, W, C) float32, rows a multiple of `micro_rows`.
            labels: (rows,) int32.
            weights: (rows,) float32, 0 for padding.
            stop: whether this rank wants to stop after an agreed step.

        Raises:
            tf.errors.UnknownError: a rank was lost; nothing was changed.
        """
        carry = self._zeros
        parts = images.shape[0] // self.micro_rows
        for part in range(parts):
            rows = slice(part * self.micro_rows, (part + 1) * self.micro_rows)
            batch = (images, labels, weights) if parts == 1 else (images[rows], labels[rows], weights[rows])
            seeds = tf.constant(self._seeds(number, self.first_lane + part * self.micro_lanes))
            if part < parts - 1:
                carry = self._accumulate(*batch, seeds, carry)
            else:
                return self._finish(*batch, seeds, carry, tf.constant(float(stop)))
        raise AssertionError("a rank's batch holds no rows")

    @staticmethod
    def read(result: tf.Tensor) -> Result:
        """Waits for the device."""
        *sums, votes, finite = (float(v) for v in result.numpy())
        return Result(Sums(*sums), votes, bool(finite))

    def _seeds(self, number: int, lane: int) -> NDArray[np.int64]:
        """The states of the model's random generators: a function of (seed, step, lane) alone."""
        count = sum(self._seeded)
        drawn = np.random.SeedSequence([self.seed, number, lane]).generate_state(max(count, 1), np.uint32)
        return (drawn >> 1).astype(np.int64)

    def _micro_batch(
        self, images: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor, seeds: tf.Tensor, carry: tf.Tensor
    ) -> tf.Tensor:
        """This micro-batch's share of gradients, statistics' changes and metric sums, added to `carry`."""
        model = self.model
        share = tf.reduce_sum(weights) / self.batch_size
        trainable = [v.value for v in model.trainable_variables]
        before = self._non_trainable(seeds)
        with tf.GradientTape() as tape:
            probabilities, after, penalties = model.stateless_call(
                trainable, before, images, training=True, return_losses=True
            )
            losses = _row_losses(labels, probabilities, self.label_smoothing)
            if self.class_weights is not None:
                losses *= tf.gather(self.class_weights, labels)
            loss = tf.reduce_sum(losses * weights) / self.batch_size
            if penalties:
                loss += share * tf.add_n([tf.cast(p, tf.float32) for p in penalties])
            scaled = self.optimizer.scale_loss(loss)
        gradients = tape.gradient(scaled, trainable, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        changes = [(after[i] - before[i]) * share for i in self._statistics]
        flat = [*gradients, *changes, _metric_sums(labels, probabilities, losses, weights)]
        return carry + tf.concat([tf.reshape(tf.cast(t, tf.float32), [-1]) for t in flat], 0)

    def _last_micro_batch(
        self,
        images: tf.Tensor,
        labels: tf.Tensor,
        weights: tf.Tensor,
        seeds: tf.Tensor,
        carry: tf.Tensor,
        stop: tf.Tensor,
    ) -> tf.Tensor:
        """The last micro-batch, the exchange, then the assignments -> sums, votes, finite, (6,) float32."""
        mine = self._micro_batch(images, labels, weights, seeds, carry)
        total = self.distribution.exchange(tf.concat([mine, [stop]], 0))
        with tf.control_dependencies([total]):
            *tensors, result = tf.split(total, [*self._sizes, 5])
            tensors = [tf.reshape(t, shape) for t, shape in zip(tensors, self._shapes, strict=True)]
            gradients = tensors[: len(self.model.trainable_variables)]
            changes = tensors[len(gradients) :]
            # A scaled loss overflows at times: its optimizer skips that update by itself.
            judged = [*changes, result] if self._scales_loss else [total]
            finite = tf.reduce_all([tf.reduce_all(tf.math.is_finite(t)) for t in judged])
            done = tf.cond(finite, lambda: self._assign(gradients, changes), lambda: tf.constant(False))
            with tf.control_dependencies([done]):
                return tf.concat([result, [tf.cast(finite, tf.float32)]], 0)

    def _assign(self, gradients: Sequence[tf.Tensor], changes: Sequence[tf.Tensor]) -> tf.Tensor:
        self._apply(gradients)
        for i, change in zip(self._statistics, changes, strict=True):
            variable = self.model.non_trainable_variables[i]
            variable.assign(variable.value + tf.cast(change, variable.dtype))
        return tf.constant(True)

    def _apply(self, gradients: Sequence[tf.Tensor]) -> None:
        if self.schedule is None:
            self.optimizer.apply(gradients, self.model.trainable_variables)
            return
        rate = self.optimizer.learning_rate
        given = tf.identity(rate.value)
        rate.assign(given * self.schedule(self.optimizer.iterations.value))
        self.optimizer.apply(gradients, self.model.trainable_variables)
        rate.assign(given)  # what callbacks see and change

    def rate(self) -> float:
        """The learning rate of the next step."""
        given = float(self.optimizer.learning_rate)
        return given * float(self.schedule(self.optimizer.iterations.value)) if self.schedule else given

    def _non_trainable(self, seeds: tf.Tensor) -> list[tf.Tensor]:
        values, used = [], 0
        for variable, seeded in zip(self.model.non_trainable_variables, self._seeded, strict=True):
            if seeded:
                values.append(tf.cast(tf.stack([seeds[used], 0]), variable.dtype))
                used += 1
            else:
                values.append(variable.value)
        return values


def seed_variables(model: keras.Model) -> list[keras.Variable]:
    """The states of the model's random generators (dropout and the like)."""
    weights = {id(v) for v in model.weights}
    return [v for v in model.variables if id(v) not in weights and "seed_generator" in v.path]


class EvaluationStep:
    """`step(images, labels, weights)` -> Sums over this rank's rows that have weight 1, and the
    probabilities of all, float32 (n, classes)."""

    def __init__(self, model: keras.Model, label_smoothing: float = 0.0) -> None:
        self._smoothing = label_smoothing
        self._sums = tf.function(
            lambda images, labels, weights: self._evaluate(model, images, labels, weights),
            jit_compile=False,
            autograph=False,
        )

    def __call__(self, images: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor) -> tuple[Sums, tf.Tensor]:
        sums, probabilities = self._sums(images, labels, weights)
        return Sums(*(float(v) for v in sums.numpy())), probabilities

    def _evaluate(
        self, model: keras.Model, images: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        probabilities = model(images, training=False)
        losses = _row_losses(labels, probabilities, self._smoothing)
        return _metric_sums(labels, probabilities, losses, weights), probabilities


def balanced_class_weights(counts: Sequence[int] | NDArray[np.int64]) -> NDArray[np.float32]:
    """scikit-learn's "balanced": rows / (classes * rows of the class); 0 for a class without rows."""
    count = np.asarray(counts, np.float64)
    return np.where(count > 0, count.sum() / (len(count) * np.maximum(count, 1)), 0).astype(np.float32)
