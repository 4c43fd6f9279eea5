"""What a report shows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from trainer.output.html.charts import ChartMark
from trainer.output.html.thumbnail import thumbnail
from trainer.reporting.heat_map import HeatMap
from trainer.runs.documents.changed_values import ChangedDocument
from trainer.runs.documents.evaluation_values import EvaluationDocument
from trainer.runs.history import best_epoch
from trainer.runs.run_document import RunDocument, RunResult
from trainer.runs.timing import EpochTiming


@dataclass(frozen=True)
class Picture:
    """An image, uint8 (H, W, 3), and its class; of a mistake also what was predicted, and its probability.
    `name` is its file's, where that is known."""

    pixels: NDArray[np.uint8]
    class_name: str
    predicted: str | None = None
    probability: float = 0.0
    name: str = ""

    @property
    def source(self) -> str:
        """The image as a `data:` URL."""
        return thumbnail(self.pixels)


@dataclass(frozen=True)
class PicturedPair:
    """Two classes that are confused: images of the first, and of the one that was predicted instead."""

    class_name: str
    predicted: str
    rows: int
    first: Sequence[Picture]
    second: Sequence[Picture]


@dataclass(frozen=True)
class Known:
    """All that a report can show.

    Attributes:
        rows: split -> images of the dataset.
        evaluations: those of `trainer evaluate`, the most telling one first; `mistakes`, `pairs` and
            `heat_maps` are of that one.
        changed: images that were changed for a test of sensitivity; None where there are none.
        started: seconds since 1970, as `ended`; None where it is not known.
    """

    url: str
    run: RunDocument
    dataset: Mapping[str, str]
    history: Sequence[Mapping[str, float]]
    finished: RunResult | None
    evaluations: Sequence[EvaluationDocument] = ()
    samples: Sequence[Picture] = ()
    mistakes: Sequence[Picture] = ()
    timing: Sequence[EpochTiming] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    rows: Mapping[str, int] = field(default_factory=dict)
    pairs: Sequence[PicturedPair] = ()
    heat_maps: Sequence[HeatMap] = ()
    started: float | None = None
    ended: float | None = None
    changed: ChangedDocument | None = None

    @property
    def restarts(self) -> list[float]:
        """Where on the axis of epochs, counted from 1, another process continued."""
        pairs = pairwise(self.timing)
        return [after.epoch + 0.5 for before, after in pairs if before.generation != after.generation]

    @property
    def marks(self) -> list[ChartMark]:
        """The best epoch and the restarts, on the axis of epochs."""
        best = best_epoch(self.history, self.run.config.run.monitor)
        return [
            *(ChartMark(place, "") for place in self.restarts),
            *([] if best is None else [ChartMark(best + 1.0, "best")]),
        ]
