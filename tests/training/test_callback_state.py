"""An interruption is nothing to Keras's callbacks: they go on as if there had been none."""

import json
import threading
from pathlib import Path
from typing import Any

import keras
import pytest

from tests.run_processes import Runs
from tests.training.in_process import train
from trainer.checkpoints.training_state import TrainingState
from trainer.errors import ConfigError, TransientError
from trainer.runs.run_document import RunResult
from trainer.training.callbacks import callback_state

SECTIONS: dict[str, Any] = {
    "train": {"epochs": 6, "batch_size": 300, "lanes": 60, "micro_batch": 10, "deterministic": True},
    "run": {"checkpoint": {"every": "1 steps"}},
}


class StopAfter(keras.callbacks.Callback):
    """Asks for a stop after so many steps of this process."""

    def __init__(self, steps: int | None, stop: threading.Event) -> None:
        super().__init__()
        self.left, self.stop = steps, stop

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if self.left is not None:
            self.left -= 1
            if not self.left:
                self.stop.set()


class Callbacks:
    """The callbacks of one process of a run."""

    def __init__(self) -> None:
        self.epochs_begun: list[int] = []
        self.rate = keras.callbacks.LearningRateScheduler(lambda _, rate: rate * 0.9)
        self.plateau = keras.callbacks.ReduceLROnPlateau("loss", factor=0.5, patience=2, min_delta=1e3)
        self.patient = keras.callbacks.EarlyStopping("val_loss", mode="min", patience=50)
        # The loss falls, so the first epoch is the best by this mode, and the third ends the run.
        self.restoring = keras.callbacks.EarlyStopping(
            "val_loss", mode="max", patience=2, restore_best_weights=True
        )
        self.history = keras.callbacks.History()
        self.function = keras.callbacks.LambdaCallback(
            on_epoch_begin=lambda epoch, _: self.epochs_begun.append(epoch)
        )

    def all(self) -> list[keras.callbacks.Callback]:
        return [self.rate, self.plateau, self.patient, self.restoring, self.history, self.function]


def run(config: Path, callbacks: Callbacks, steps: int | None = None) -> RunResult:
    stop = threading.Event()
    return train(config, *callbacks.all(), StopAfter(steps, stop), stop=stop)


def test_keras_s_callbacks_go_on_after_stops_as_if_there_had_been_none(runs: Runs):
    undisturbed, alone = runs.config("undisturbed", **SECTIONS), Callbacks()
    end = run(undisturbed, alone)
    assert (end.epochs, end.last.epoch) == (3, 1), "stopped in the third epoch, with the weights of the first"
    history = alone.history.history
    assert end.last.metrics["val_loss"] == history["val_loss"][0]
    assert end.last.metrics["learning_rate"] == pytest.approx(history["learning_rate"][0])

    stopped, begun = runs.config("stopped", **SECTIONS), []
    for steps in (2, 4, 3):
        with pytest.raises(TransientError, match="stopped on request"):
            run(stopped, interrupted := Callbacks(), steps)
        begun += interrupted.epochs_begun
    resumed = Callbacks()
    assert run(stopped, resumed) == end
    assert begun + resumed.epochs_begun == alone.epochs_begun == [0, 1, 2]
    assert (resumed.history.epoch, resumed.history.history) == (alone.history.epoch, history)
    for one, other in ((resumed.patient, alone.patient), (resumed.restoring, alone.restoring)):
        assert (one.best, one.best_epoch, one.wait) == (other.best, other.best_epoch, other.wait)
    for name in (
        "metrics.csv",
        "weights/last.weights.h5",
        "weights/best.weights.h5",
        "finished.json",
        "weights/model.keras",
    ):
        assert (stopped.parent / "run" / name).read_bytes() == (
            undisturbed.parent / "run" / name
        ).read_bytes()


@pytest.mark.parametrize(
    "callback",
    [
        lambda: keras.callbacks.BackupAndRestore("backup"),
        lambda: keras.callbacks.CSVLogger("log.csv"),
        lambda: keras.callbacks.ModelCheckpoint("model.keras"),
        lambda: keras.callbacks.ProgbarLogger(),
        lambda: keras.callbacks.RemoteMonitor(),
        lambda: keras.callbacks.SwapEMAWeights(),
        lambda: keras.callbacks.TensorBoard("logs"),
    ],
)
def test_one_that_cannot_keep_its_promise_is_refused_by_name(callback: Any):
    refused = callback()
    with pytest.raises(ConfigError, match=f"keras.callbacks.{type(refused).__name__} is not supported"):
        callback_state.check([refused])


def test_each_of_keras_s_callbacks_is_known():
    base = keras.callbacks.Callback
    known = {*callback_state.STATE_ATTRIBUTES, *callback_state.REFUSED, base, keras.callbacks.CallbackList}
    theirs = {c for c in vars(keras.callbacks).values() if isinstance(c, type) and issubclass(c, base)}
    assert theirs <= known


def test_with_another_monitor_a_callback_begins_anew():
    before, after = keras.callbacks.EarlyStopping("val_loss"), keras.callbacks.EarlyStopping("val_accuracy")
    before.best, before.wait = 0.25, 3
    values, arrays = callback_state.capture([before])
    state = TrainingState(1, arrays, json.loads(json.dumps({"callbacks": values})))
    callback_state.restore(state, [after, again := keras.callbacks.EarlyStopping("val_loss")])
    assert (after.best, after.wait) == (None, 0)
    assert (again.best, again.wait) == (None, 0), "the first of a class is the first again"


def resumed(before: keras.callbacks.Callback, after: keras.callbacks.Callback) -> Any:
    """`after`, as a process that resumes the run of `before` has it."""
    values, arrays = callback_state.capture([before])
    state = TrainingState(1, arrays, json.loads(json.dumps({"callbacks": values})))
    callback_state.restore(state, [after])
    return after


def test_with_another_mode_a_callback_begins_anew():
    before = keras.callbacks.EarlyStopping("val_loss", mode="max")
    before.best, before.wait = 0.25, 3
    for mode, expected in (("min", (None, 0)), ("max", (0.25, 3))):
        after = resumed(before, keras.callbacks.EarlyStopping("val_loss", mode=mode))
        assert (after.best, after.wait) == expected


def test_weights_that_were_not_kept_are_not_the_best():
    before = keras.callbacks.EarlyStopping("val_loss", mode="min")
    before.best, before.best_epoch, before.wait = 0.25, 1, 3
    patient: Any = {"monitor": "val_loss", "mode": "min", "patience": 9}
    after = resumed(before, keras.callbacks.EarlyStopping(**patient, restore_best_weights=True))
    assert (after.best, after.wait) == (None, 3)
    after.set_model(keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)]))
    for epoch, loss in enumerate((0.5, 0.3, 0.4), 4):
        after.on_epoch_end(epoch, {"val_loss": loss})
    assert after.best_epoch == 5, "the best of those whose weights there are"
    assert resumed(before, keras.callbacks.EarlyStopping(**patient)).best == 0.25
