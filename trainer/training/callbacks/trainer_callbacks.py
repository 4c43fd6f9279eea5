"""Our own Keras callbacks. They run on every rank, on reduced logs, so that their states agree; only the
chief has side effects."""

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import keras

from trainer import interrupts
from trainer.config.phases import TrainingPhase
from trainer.config.sections import TrainSection
from trainer.machine.processes import process_age
from trainer.output.progress import EpochBar
from trainer.runs.history import is_better, lower_is_better, metric_of, monitored

log = logging.getLogger(__name__)


def from_config(train: TrainSection, *, validated: bool = True) -> list[keras.callbacks.Callback]:
    """Keras's callbacks that the configuration asks for. Where there is no validation split they monitor the
    training metric of the same name."""
    sections = (
        (keras.callbacks.ReduceLROnPlateau, train.reduce_lr_on_plateau),
        (keras.callbacks.EarlyStopping, train.early_stopping),
    )
    return [
        kind(**section.model_dump() | {"monitor": metric_of(section.monitor, validated=validated)})
        for kind, section in sections
        if section
    ]


def settle_modes(callbacks: Iterable[keras.callbacks.Callback]) -> None:
    """Replaces the mode "auto" by "min" or "max", for what a callback monitors.

    Keras asks the model's compiled metrics for that; our metrics come from the exchange.
    """
    for callback in callbacks:
        if getattr(callback, "mode", None) == "auto" and hasattr(callback, "monitor"):
            callback.mode = "min" if lower_is_better(callback.monitor) else "max"


class BestWeights(keras.callbacks.Callback):
    """Publishes the weights whenever the monitored value is the best so far; a resumed run keeps its best.

    Epochs without a validation cannot be the best. Where there is no validation split, the training metric of
    the same name decides.

    Args:
        publish: returns the SHA-256 of what it published, on the chief.
        history: the metrics of all epochs. If `monitor` changed, a resumed run compares with what the
            current best weights reached by it.
        validated: whether there is a validation split.
    """

    def __init__(
        self,
        monitor: str,
        history: Sequence[Mapping[str, float]],
        publish: Callable[[], str | None],
        *,
        steps_per_epoch: int,
        validated: bool = True,
    ) -> None:
        super().__init__()
        self.monitor = monitor
        self.steps_per_epoch = steps_per_epoch
        self._metric = metric_of(monitor, validated=validated)
        self.history = history
        self.publish = publish
        self.best: float | None = None
        self.best_epoch: int | None = None
        self.sha256: str | None = None

    @property
    def best_step(self) -> int | None:
        """The step after which the weights were the best."""
        return None if self.best_epoch is None else (self.best_epoch + 1) * self.steps_per_epoch

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        value = monitored(logs or {}, self._metric)
        if value is not None and is_better(value, self.best, self.monitor):
            self.best, self.best_epoch = value, epoch
            self.sha256 = self.publish()

    def get_state(self) -> dict[str, Any]:
        return {
            "best": self.best,
            "best_epoch": self.best_epoch,
            "monitor": self.monitor,
            "sha256": self.sha256,
        }

    def set_state(self, state: dict[str, Any]) -> None:
        self.best, self.best_epoch = state["best"], state["best_epoch"]
        self.sha256 = state.get("sha256")
        previous = state.get("monitor", self.monitor)
        if previous != self.monitor and self.best_epoch is not None:
            self.best = monitored(self.history[self.best_epoch], self._metric)
            log.info(
                "run.monitor changed from %s to %s; keeping epoch %d as best for now",
                *(previous, self.monitor, self.best_epoch + 1),
            )


class History(keras.callbacks.Callback):
    """Publishes the metrics of all epochs after each of them; they are the run's, not this callback's."""

    def __init__(self, publish: Callable[[], None]) -> None:
        super().__init__()
        self.publish = publish

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self.publish()

    def get_state(self) -> dict[str, Any]:
        return {}

    def set_state(self, state: dict[str, Any]) -> None:
        """Nothing to remember."""


class ProgressLog(keras.callbacks.Callback):
    """The log lines of a run, and its bar on a terminal, which replaces the lines within an epoch; on the
    chief. `every_step`: a line for each."""

    EVERY_SECONDS = 10.0

    def __init__(
        self,
        epochs: int,
        steps_per_epoch: int,
        batch_size: int,
        bar: EpochBar | None = None,
        *,
        every_step: bool = False,
    ) -> None:
        super().__init__()
        self._bar = bar
        self._line_seconds = 0.0 if every_step else self.EVERY_SECONDS
        self.epochs, self.steps_per_epoch, self.batch_size = epochs, steps_per_epoch, batch_size
        self._epoch, self._phase = 0, ""
        self._first = True
        self._logged = self._epoch_began = time.monotonic()
        self._steps = self._steps_in_epoch = 0

    def begin_phase(self, phase: TrainingPhase) -> None:
        """Logs it, and names it in what follows."""
        log.info("%s", phase.describe())
        self._phase = f"  phase {phase.number}/{phase.count}"

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self._epoch = epoch
        self._logged = self._epoch_began = time.monotonic()
        self._steps = self._steps_in_epoch = 0
        if self._bar:
            self._bar.begin(epoch, self.steps_per_epoch, self._phase)

    def end_step(self, batch: int, loss: float | None, accuracy: float | None) -> None:
        """After each step; logs the first, then every few seconds. `batch` counts from 0. The metrics are the
        epoch's so far, None while no step of it was read."""
        if self._first:
            self._first = False
            since = f" {process_age():.1f} s after process start" if interrupts.installed() else ""
            log.info("first step finished%s", since)
        self._steps += 1
        self._steps_in_epoch += 1
        now = time.monotonic()
        if self._bar:
            rate = self._steps_in_epoch * self.batch_size / max(now - self._epoch_began, 1e-9)
            self._bar.step(batch + 1, _metrics(loss, accuracy), _rate(rate))
            return
        if now - self._logged < self._line_seconds:
            return
        rate = self._steps * self.batch_size / max(now - self._logged, 1e-9)
        self._logged, self._steps = now, 0
        log.info(
            "epoch %d/%d%s  step %d/%d  %s%s images/s",
            *(self._epoch + 1, self.epochs, self._phase, batch + 1, self.steps_per_epoch),
            *(f"{known}  " if (known := _metrics(loss, accuracy)) else "", _rate(rate)),
        )

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        logs = logs or {}
        seconds = max(time.monotonic() - self._epoch_began, 1e-9)
        metrics = "  ".join(
            f"{name} {logs[name]:.4f}"
            for name in ("loss", "accuracy", "val_loss", "val_accuracy")
            if name in logs
        )
        rate = self._steps_in_epoch * self.batch_size / seconds
        where = epoch + 1, self.epochs, self._phase
        log.info("epoch %d/%d%s  %s  %s images/s", *where, metrics, _rate(rate))


def _metrics(loss: float | None, accuracy: float | None) -> str:
    return "" if loss is None or accuracy is None else f"loss {loss:.4f}  accuracy {accuracy:.4f}"


def _rate(images_per_second: float) -> str:
    return f"{images_per_second:,.0f}" if images_per_second >= 10 else f"{images_per_second:.1f}"
