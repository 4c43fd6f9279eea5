"""What is counted of a batch: sums over its rows, which add up over batches, replicas and ranks."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

TOP = 5


@dataclass
class Sums:
    """Metric sums over rows: exact counts, and the loss as Keras's `fit` and `evaluate` have it, weighted as
    it was trained on and with the penalties of regularizers, once for each row."""

    loss: float = 0.0
    correct: float = 0.0
    top5: float = 0.0
    rows: float = 0.0

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(*(a + b for a, b in zip(self.values(), other.values(), strict=True)))

    def values(self) -> tuple[float, float, float, float]:
        return self.loss, self.correct, self.top5, self.rows

    def over_ranks(self, add: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> "Sums":
        """The sums over all ranks; `add`: float64 (n,) -> its sum over the ranks."""
        return Sums(*add(np.array(self.values())).tolist())

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


def metric_sums(
    labels: tf.Tensor, probabilities: tf.Tensor, losses: tf.Tensor, counted: tf.Tensor
) -> tf.Tensor:
    """(4,) float32: loss, correct, top-5 and rows, over the rows that count."""
    top = min(TOP, probabilities.shape[-1])
    hit = tf.cast(tf.argmax(probabilities, -1, tf.int32) == labels, tf.float32)
    hit_top = tf.cast(tf.math.in_top_k(labels, probabilities, top), tf.float32)
    return tf.stack([tf.reduce_sum(v * counted) for v in (losses, hit, hit_top, tf.ones_like(losses))])
