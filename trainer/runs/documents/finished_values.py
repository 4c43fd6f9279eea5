"""finished.json, and what `trainer train --json` prints of it."""

import json
from typing import Any, NotRequired, TypedDict, cast

from trainer.runs.run_document import Reached, read_finished
from trainer.storage import open_store


class FinishedDocument(TypedDict):
    """finished.json in a run's folder. In version 1 there was one `metrics`, all of the last weights.

    Attributes:
        version: 2; a trainer reads all older versions.
        epochs: those that were trained.
        steps: those that were trained.
        stopped_early: a callback ended the run, in its last phase, before its last epoch.
        best: the best weights by `run.monitor`: those of best.weights.h5 and model.keras, which
            `trainer predict` uses; null where no epoch had that metric.
        last: the weights after the last epoch, those of last.weights.h5.
        sha256: key -> SHA-256 of the weights, model.keras, classes.json and metrics.csv; a start of the
            finished run compares them.
        early_stopping: `train.early_stopping` of the run as it ended, or null.
        phases: the epochs of each phase; not there in a run without `train.phases`.
    """

    version: int
    epochs: int
    steps: int
    stopped_early: bool
    best: Reached | None
    last: Reached
    sha256: dict[str, str]
    early_stopping: dict[str, Any] | None
    phases: NotRequired[list[int]]


class FinishedRun(FinishedDocument):
    """A run that has finished: its folder, and what finished.json says.

    Attributes:
        url: of the run's folder.
    """

    url: str


def finished_values(url: str) -> FinishedRun:
    """A finished run as `trainer train --json` prints it: its URL, and the values of finished.json."""
    finished = read_finished(open_store(url))
    return cast(FinishedRun, {"url": url, **(json.loads(finished.dumps()) if finished else {})})
