"""The state of Keras callbacks, so that they continue after an interruption as if there had been none.

Keras's own are known here by the attributes that hold their state. One of a user's own has `get_state()`,
which returns a dictionary of JSON values and lists of arrays, and `set_state(state)`.
"""

import logging
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from trainer.checkpoints.training_state import TrainingState
from trainer.errors import ConfigError

log = logging.getLogger(__name__)

STATE_ATTRIBUTES: dict[type[keras.callbacks.Callback], tuple[str, ...]] = {
    keras.callbacks.EarlyStopping: ("wait", "stopped_epoch", "best", "best_epoch", "best_weights"),
    keras.callbacks.ReduceLROnPlateau: ("wait", "best", "cooldown_counter"),
    keras.callbacks.History: ("epoch", "history"),
    keras.callbacks.LambdaCallback: (),
    keras.callbacks.LearningRateScheduler: (),
    keras.callbacks.TerminateOnNaN: (),
}
"""Keras's supported callbacks, and the attributes that hold their state. The learning rate itself is the
optimizer's, whose variables are all saved."""

_SAVED = "checkpoints, best and last weights are saved by run.checkpoint and run.monitor"
_LOCAL = "its file would be lost with the pod; the history of the run has the same metrics"
REFUSED: dict[type[keras.callbacks.Callback], str] = {
    keras.callbacks.BackupAndRestore: _SAVED,
    keras.callbacks.ModelCheckpoint: _SAVED,
    keras.callbacks.OrbaxCheckpoint: _SAVED,
    keras.callbacks.CSVLogger: _LOCAL,
    keras.callbacks.TensorBoard: _LOCAL,
    keras.callbacks.ProgbarLogger: "the log shows the progress of each epoch",
    keras.callbacks.RemoteMonitor: "it would send an epoch twice after an interruption; use metrics.port",
    keras.callbacks.SwapEMAWeights: "with train.optimizer.use_ema the averages are what is validated and "
    "published, as with swap_on_epoch=True",
}
"""Keras's callbacks that are not supported, and why."""

_ARRAYS = "arrays"


def check(callbacks: Iterable[keras.callbacks.Callback]) -> None:
    """Raises ConfigError for one of Keras's callbacks that is not supported."""
    for callback in callbacks:
        for kind, reason in REFUSED.items():
            if isinstance(callback, kind):
                raise ConfigError(f"keras.callbacks.{kind.__name__} is not supported: {reason}", "Remove it")


def warn_of_unsaved(callbacks: Iterable[keras.callbacks.Callback]) -> None:
    """Logs the callbacks whose state would not survive an interruption."""
    for callback in callbacks:
        if type(callback) not in STATE_ATTRIBUTES and not hasattr(callback, "get_state"):
            log.warning(
                "%s has no get_state and set_state: its state will not be restored after an interruption",
                type(callback).__name__,
            )


def resumes_epoch(callback: keras.callbacks.Callback) -> bool:
    """Whether it resumes an interrupted epoch, without another `on_epoch_begin`."""
    return hasattr(callback, "get_state") or _attributes(callback) is not None


def capture(
    callbacks: Iterable[keras.callbacks.Callback],
) -> tuple[dict[str, dict[str, Any]], dict[str, NDArray[Any]]]:
    """The state of each by its name: JSON values, and the arrays that they name."""
    values: dict[str, dict[str, Any]] = {}
    arrays: dict[str, NDArray[Any]] = {}
    for name, callback in _named(callbacks).items():
        saved = _state(callback)
        for key, value in saved.items():
            if isinstance(value, list | tuple) and any(isinstance(item, np.ndarray) for item in value):
                arrays |= {_array(name, key, number): np.asarray(item) for number, item in enumerate(value)}
                saved[key] = {_ARRAYS: len(value)}
            elif isinstance(value, np.generic):
                saved[key] = value.item()
        if saved or hasattr(callback, "get_state"):
            values[name] = saved
    return values, arrays


def restore(state: TrainingState, callbacks: Iterable[keras.callbacks.Callback]) -> None:
    """Restores the state of each; call it after `on_train_begin`, which clears it.

    A callback whose `monitor` or `mode` changed starts over: the values cannot be compared. One with
    `restore_best_weights` that has not kept them uses the best from now on.
    """
    states = state.values["callbacks"]
    for name, callback in _named(callbacks).items():
        saved = states.get(name)
        if saved is None:
            continue
        saved = {key: _value(state.arrays, name, key, value) for key, value in saved.items()}
        if hasattr(callback, "set_state"):
            callback.set_state(saved)
            continue
        monitor, now = saved.pop("monitor", None), getattr(callback, "monitor", None)
        if monitor is not None and monitor != now:
            log.info("%s: starting over: monitor changed from %s to %s", name, monitor, now)
            continue
        mode, now = saved.pop("mode", None), getattr(callback, "mode", None)
        if mode is not None and mode != now:
            log.info("%s: starting over: mode changed from %s to %s", name, mode, now)
            continue
        if _lacks_best_weights(callback, saved):
            epoch = saved["best_epoch"] + 1
            log.info("%s did not keep the weights of epoch %d: using the best from now on", name, epoch)
            saved["best"] = None
        for attribute, value in saved.items():
            setattr(callback, attribute, value)


def _lacks_best_weights(callback: keras.callbacks.Callback, saved: Mapping[str, Any]) -> bool:
    restores = getattr(callback, "restore_best_weights", False)
    return restores and saved.get("best") is not None and saved.get("best_weights") is None


def still_stops(state: TrainingState, callbacks: Iterable[keras.callbacks.Callback]) -> bool:
    """Whether a run that a callback has ended stays ended, after `restore`.

    It does not where EarlyStopping has ended it and now has more patience, or is left out: then the run
    resumes as if it had been so from the start.
    """
    states = state.values["callbacks"]
    ended = {name for name, saved in states.items() if "wait" in saved and saved.get("stopped_epoch")}
    if not ended:
        return True  # another callback has
    patient = [
        callback
        for name, callback in _named(callbacks).items()
        if name in ended and isinstance(callback, keras.callbacks.EarlyStopping)
    ]
    for callback in patient:
        if callback.wait < callback.patience:
            callback.stopped_epoch = 0
    return any(callback.stopped_epoch for callback in patient)


@contextmanager
def no_monitor_warnings() -> Iterator[None]:
    """Silences the warnings of Keras's callbacks in an epoch without the validation that they monitor."""
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", r"(Early stopping|Learning rate reduction is) conditioned on metric"
        )
        yield


def restored_epoch(callbacks: Iterable[keras.callbacks.Callback], last: int) -> int:
    """The epoch, from 0, whose weights the model ends with: `last`, or one EarlyStopping went back to."""
    for callback in callbacks:
        if not isinstance(callback, keras.callbacks.EarlyStopping):
            continue
        if callback.restore_best_weights and callback.best_weights is not None:
            last = callback.best_epoch
    return last


def _named(
    callbacks: Iterable[keras.callbacks.Callback],
) -> dict[str, keras.callbacks.Callback]:
    """Callbacks by class name; from the second of a class on with a number."""
    named: dict[str, keras.callbacks.Callback] = {}
    count: Counter[str] = Counter()
    for callback in callbacks:
        kind = type(callback).__name__
        count[kind] += 1
        named[kind if count[kind] == 1 else f"{kind} {count[kind]}"] = callback
    return named


def _attributes(callback: keras.callbacks.Callback) -> Sequence[str] | None:
    """The attributes that hold its state; None for an unknown class."""
    return next((STATE_ATTRIBUTES[kind] for kind in type(callback).__mro__ if kind in STATE_ATTRIBUTES), None)


def _state(callback: keras.callbacks.Callback) -> dict[str, Any]:
    if hasattr(callback, "get_state"):
        return dict(callback.get_state())
    attributes = _attributes(callback) or ()
    saved = {name: getattr(callback, name) for name in attributes if hasattr(callback, name)}
    if saved and hasattr(callback, "monitor"):
        saved |= {"monitor": callback.monitor, "mode": getattr(callback, "mode", None)}
    return saved


def _array(name: str, key: str, number: int) -> str:
    return f"callbacks/{name}/{key}/{number}"


def _value(arrays: Mapping[str, NDArray[Any]], name: str, key: str, value: Any) -> Any:
    if isinstance(value, dict) and value.keys() == {_ARRAYS}:
        return [np.array(arrays[_array(name, key, number)]) for number in range(value[_ARRAYS])]
    return value
