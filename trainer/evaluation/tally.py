"""Counts over probabilities and labels, batch after batch, in constant memory."""

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

CALIBRATION_BINS = 15
"""Bins of the calibration, as in Guo et al., "On Calibration of Modern Neural Networks", 2017."""
MAX_MISTAKES = 100
"""Misclassified rows that are kept: those with the highest probability."""
EPSILON = 1e-7
"""Keras's: probabilities are clipped to it before their logarithm is taken."""


@dataclass(frozen=True, order=True)
class Mistake:
    """A row that was misclassified with this probability."""

    probability: float
    row: int
    label: int
    predicted: int


def in_top5(probabilities: NDArray[np.float32], labels: NDArray[np.integer]) -> int:
    """How many rows have their label among the five most probable classes, as Keras's in_top_k: of equal
    probabilities none is before the label's own."""
    own = probabilities[np.arange(len(labels)), labels]
    return int(((probabilities > own[:, None]).sum(1) < 5).sum())


@dataclass
class Tally:
    """Counts for `classes` classes. The order of the batches changes only the last bits of the loss.

    Attributes:
        confusion: int64 (classes, classes), label by predicted class.
        bins: float64 (BINS, 3), for each range of the probability: rows, their probabilities summed, and
            those that are right.
    """

    classes: int
    rows: int = 0
    loss: float = 0.0
    top5: int = 0
    confusion: NDArray[np.int64] = field(init=False)
    bins: NDArray[np.float64] = field(default_factory=lambda: np.zeros((CALIBRATION_BINS, 3)))
    _worst: list[Mistake] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.confusion = np.zeros((self.classes, self.classes), np.int64)

    def add(
        self,
        probabilities: NDArray[np.float32],
        labels: NDArray[np.integer],
        first: int,
        loss: float | None = None,
    ) -> None:
        """Consecutive rows from `first` on: float32 (n, classes), integers (n,). `loss` is summed over them;
        without it their cross-entropy counts."""
        count = len(labels)
        labels = labels.astype(np.int64)
        label_probabilities = probabilities[np.arange(count), labels].astype(np.float64)
        predicted = probabilities.argmax(1)
        highest = probabilities[np.arange(count), predicted].astype(np.float64)
        right = predicted == labels
        self.rows += count
        self.loss += (
            -float(np.log(label_probabilities.clip(EPSILON, 1 - EPSILON)).sum()) if loss is None else loss
        )
        self.top5 += in_top5(probabilities, labels)
        np.add.at(self.confusion, (labels, predicted), 1)
        bin_numbers = np.minimum((highest * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
        np.add.at(self.bins, bin_numbers, np.stack([np.ones(count), highest, right], 1))
        for i in np.flatnonzero(~right):
            mistake = Mistake(float(highest[i]), first + int(i), int(labels[i]), int(predicted[i]))
            (heapq.heappush if len(self._worst) < MAX_MISTAKES else heapq.heappushpop)(self._worst, mistake)

    def summed(
        self, add: Callable[[NDArray[np.float64]], NDArray[np.float64]], rank: int, size: int
    ) -> "Tally":
        """The tally over all `size` ranks, each with its own rows: `add` sums float64 (n,) over them."""
        worst = np.zeros((size, MAX_MISTAKES, 4))
        for number, mistake in enumerate(self._worst):
            worst[rank, number] = (mistake.probability, mistake.row, mistake.label, mistake.predicted)
        counts = np.array([self.rows, self.loss, self.top5], float)
        parts = (counts, self.confusion, self.bins, worst)
        flat = add(np.concatenate([part.ravel().astype(np.float64) for part in parts]))
        counts, confusion, bins, worst = (
            piece.reshape(part.shape)
            for piece, part in zip(
                np.split(flat, np.cumsum([p.size for p in parts])[:-1]), parts, strict=True
            )
        )
        total = Tally(self.classes, int(counts[0]), float(counts[1]), int(counts[2]), bins=bins)
        total.confusion = confusion.astype(np.int64)
        mistakes = [
            Mistake(p, int(row), int(label), int(other)) for p, row, label, other in worst.reshape(-1, 4)
        ]
        total._worst = heapq.nlargest(MAX_MISTAKES, (mistake for mistake in mistakes if mistake.probability))
        heapq.heapify(total._worst)
        return total

    @property
    def top1(self) -> float:
        """The fraction of rows whose class is right."""
        return float(np.trace(self.confusion)) / self.rows

    @property
    def worst(self) -> list[Mistake]:
        """Misclassified rows, the most confident first."""
        return sorted(self._worst, reverse=True)

    @property
    def calibration_error(self) -> float:
        """The expected calibration error: how far probabilities and accuracy are apart, over all bins."""
        return float(np.abs(self.bins[:, 1] - self.bins[:, 2]).sum()) / self.rows


@dataclass(frozen=True)
class ClassMetrics:
    """One class. Without a row of it `recall` is None, without a prediction of it `precision`."""

    name: str
    rows: int
    precision: float | None
    recall: float | None
    f1: float


def metrics_per_class(confusion: NDArray[np.int64], names: tuple[str, ...]) -> list[ClassMetrics]:
    """Precision, recall and F1 of each class."""
    metrics = []
    for i, name in enumerate(names):
        right, rows, predicted = int(confusion[i, i]), int(confusion[i].sum()), int(confusion[:, i].sum())
        f1 = 2 * right / (rows + predicted) if rows + predicted else 0.0
        metrics.append(
            ClassMetrics(
                name, rows, right / predicted if predicted else None, right / rows if rows else None, f1
            )
        )
    return metrics


def most_confused(
    confusion: NDArray[np.int64], names: tuple[str, ...], limit: int = 20
) -> list[tuple[str, str, int]]:
    """(class, predicted class, rows), the most frequent first."""
    mistakes = confusion.copy()
    np.fill_diagonal(mistakes, 0)
    order = np.argsort(-mistakes, axis=None, kind="stable")[:limit]
    pairs = [(int(cell) // len(names), int(cell) % len(names)) for cell in order]
    return [(names[i], names[j], int(mistakes[i, j])) for i, j in pairs if mistakes[i, j]]
