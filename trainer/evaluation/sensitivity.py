"""How well a network classifies images that were changed."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from trainer.dataset.dataset import Dataset, Split
from trainer.dataset.inspection.sample_rows import chosen_rows, read_rows, rgb
from trainer.evaluation.perturbations import Change
from trainer.evaluation.tally import in_top5
from trainer.output.html.thumbnail import thumbnail
from trainer.runs.documents.changed_values import VERSION, ChangedDocument
from trainer.runs.documents.evaluation_values import ChangedResult, Sensitivity

if TYPE_CHECKING:
    from trainer.inference.predictor import Predictor

SAMPLES = 3
"""Images that are shown of each change."""
SAMPLE_SIDE = 56


@dataclass
class ChangedTally:
    """Counts of changed images, batch after batch."""

    rows: int = 0
    right: int = 0
    top5: int = 0
    loss: float = 0.0

    def add(self, probabilities: NDArray[np.float32], labels: NDArray[np.integer], loss: float) -> None:
        """float32 (n, classes), integers (n,), and the loss of these rows, summed."""
        self.rows += len(labels)
        self.right += int((probabilities.argmax(1) == labels).sum())
        self.top5 += in_top5(probabilities, labels)
        self.loss += loss


@dataclass
class SensitivityTest:
    """The changes of one evaluation, and their counts.

    Attributes:
        size: height and width of the network's input, by which shifts and rotations are drawn.
        classes: their number.
    """

    changes: Sequence[Change]
    seed: int
    size: tuple[int, int]
    classes: int
    _tallies: list[ChangedTally] = field(init=False)

    def __post_init__(self) -> None:
        self._tallies = [ChangedTally() for _ in self.changes]

    def add(
        self, predictor: "Predictor", images: NDArray[np.uint8], labels: NDArray[np.integer], first: int
    ) -> None:
        """Consecutive rows from `first` on: uint8 (n, H, W, C), integers (n,)."""
        rows = np.arange(first, first + len(labels))
        for change, tally in zip(self.changes, self._tallies, strict=True):
            probabilities, loss = predictor.measured_changed(images, labels, change.draw(rows, *self.size))
            tally.add(probabilities, labels, loss)

    def document(self) -> Sensitivity | None:
        """What was measured; None without changes."""
        if not self.changes:
            return None
        pairs = zip(self.changes, self._tallies, strict=True)
        return {"seed": self.seed, "changes": [self._result(change, tally) for change, tally in pairs]}

    def _result(self, change: Change, tally: ChangedTally) -> ChangedResult:
        return {
            "change": change.name,
            "top1": round(tally.right / tally.rows, 6),
            "top5": round(tally.top5 / tally.rows, 6) if self.classes > 5 else None,
            "loss": round(tally.loss / tally.rows, 6),
        }

    def samples(
        self, predictor: "Predictor", dataset: Dataset, split: Split, weights_sha256: str
    ) -> ChangedDocument:
        """A few images of the split, of classes that are spread over all, as each change makes them."""
        rows = chosen_rows(split, SAMPLES)
        images = read_rows(dataset, split, rows)
        return {
            "version": VERSION,
            "dataset": dataset.identity,
            "split": split.name,
            "weights_sha256": weights_sha256,
            "changes": [
                {"change": name, "images": [thumbnail(rgb(pixels), SAMPLE_SIDE) for pixels in changed]}
                for name, changed in (
                    ("unchanged", predictor.changed(images, {})),
                    *(
                        (change.name, predictor.changed(images, change.draw(rows, *self.size)))
                        for change in self.changes
                    ),
                )
            ],
        }
