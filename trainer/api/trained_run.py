"""A run that has finished, as `trainer.train` returns it."""

from collections.abc import Mapping
from dataclasses import dataclass

from trainer.errors import DataError
from trainer.runs import layout
from trainer.runs.history import read_history
from trainer.runs.run_document import read_document, read_finished
from trainer.storage import join, open_store


@dataclass(frozen=True)
class TrainedRun:
    """A finished run.

    Attributes:
        url: of its folder.
        epochs: those that were trained.
        steps: those that were trained.
        stopped_early: whether a callback ended it before its last epoch.
        best_epoch: the epoch of the published weights, counted from 1.
        metrics: what they reached, by Keras's names; `test_` before those of the test split.
        accuracy: theirs on the test split; without one on the validation split, or else in training.
        history: the metrics of each epoch.
        weights: URL of their file, for `model.load_weights`.
        model: URL of the network with them, for `keras.saving.load_model`.
        report: URL of its page.
    """

    url: str
    epochs: int
    steps: int
    stopped_early: bool
    best_epoch: int
    metrics: Mapping[str, float]
    accuracy: float
    history: tuple[Mapping[str, float], ...]
    weights: str
    model: str
    report: str


def read_trained(url: str) -> TrainedRun:
    """The finished run in a folder. Raises DataError where there is none."""
    store = open_store(url)
    finished = read_finished(store)
    if finished is None:
        read_document(store)  # raises where there is no run
        raise DataError(f"{store.url}: the run has not finished", "Start it again: it resumes")
    reached = finished.published
    accuracies = (reached.metrics.get(name) for name in ("test_accuracy", "val_accuracy", "accuracy"))
    return TrainedRun(
        url=store.url,
        epochs=finished.epochs,
        steps=finished.steps,
        stopped_early=finished.stopped_early,
        best_epoch=reached.epoch,
        metrics=reached.metrics,
        accuracy=next((value for value in accuracies if value is not None), float("nan")),
        history=tuple(read_history(store.get(layout.METRICS))),
        weights=join(store.url, layout.weights("best" if finished.best else "last")),
        model=join(store.url, layout.KERAS_MODEL),
        report=join(store.url, layout.REPORT),
    )
