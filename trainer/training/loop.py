"""The step loop. Keras callbacks work in it unchanged.

Every rank runs the same calls in the same order, so nothing here may depend on what one rank alone knows: the
wish to stop travels in the exchange, and the vote of step s is read when step s + 1 is done.
"""

import enum
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from trainer.distribution import Distribution
from trainer.distribution.lost import LOST, lost_peer
from trainer.distribution.status import report
from trainer.errors import RunError
from trainer.observability import metrics
from trainer.training.callbacks import Story, settle_modes
from trainer.training.checkpoint import State
from trainer.training.data import Batch, Data
from trainer.training.plan import Plan
from trainer.training.state import Progress, capture, remember
from trainer.training.step import EvaluationStep, Result, Sums, TrainStep


class End(enum.Enum):
    """How a loop ended."""

    FINISHED = "finished"
    STOPPED = "stopped on request"


class Loop:
    """Trains from `progress` to the last epoch, or to an agreed stop.

    Args:
        save: called between two steps on every rank with a function that captures the state; it decides alone
            (on the chief) whether a checkpoint is due.
        stop: set when this rank was asked to stop.
    """

    def __init__(
        self,
        plan: Plan,
        distribution: Distribution,
        data: Data,
        model: keras.Model,
        step: TrainStep,
        callbacks: Sequence[keras.callbacks.Callback],
        story: Story | None,
        progress: Progress,
        save: Callable[[Progress, Callable[[], State]], None],
        stop: threading.Event,
    ) -> None:
        self.plan, self.distribution, self.data = plan, distribution, data
        self.model, self.step = model, step
        self.evaluation_step = EvaluationStep(model)
        self.callbacks = list(callbacks)
        settle_modes(self.callbacks)
        self.story, self.progress, self.save, self.stop = story, progress, save, stop
        self.keras_callbacks = keras.callbacks.CallbackList(
            [*callbacks, *([story] if story else [])], add_history=False, add_progbar=False, model=model
        )
        self.keras_callbacks.set_params({"epochs": plan.config.train.epochs, "steps": plan.steps_per_epoch})
        self._batch_hooks = any(_hooks_batches(c) for c in self.callbacks)
        self._unread: list[tuple[int, tf.Tensor]] = []
        self._votes: dict[int, float] = {}
        self._rank = str(distribution.rank)

    def run(self, batches: Iterator[Batch], restored: State) -> End:
        """Trains on `batches`, those of the steps from `progress.step` on.

        Raises Interrupted when a rank is lost, RunError when the loss is not a number.
        """
        progress = self.progress
        self.keras_callbacks.on_train_begin()
        self.model.stop_training = progress.stop_training
        remember(restored, self.callbacks)
        while progress.epochs_closed < self.plan.config.train.epochs and not self.model.stop_training:
            self.keras_callbacks.on_epoch_begin(progress.epochs_closed)
            if self._train_epoch(batches) is End.STOPPED:
                return End.STOPPED
            self._close_epoch()
        self.keras_callbacks.on_train_end()
        return End.FINISHED

    def _train_epoch(self, batches: Iterator[Batch]) -> End:
        progress, steps = self.progress, self.plan.steps_per_epoch
        metrics.EPOCH.labels(self._rank).set(progress.epochs_closed)
        end = (progress.epochs_closed + 1) * steps
        while progress.step < end:
            number = progress.step
            self.keras_callbacks.on_train_batch_begin(number % steps)
            began = time.perf_counter()
            images, labels, weights = next(batches)
            fetched = time.perf_counter()
            try:
                result = self.step(number, images, labels, weights, self.stop.is_set())
            except LOST as error:
                raise lost_peer(error) from None
            progress.step += 1
            self._unread.append((number, result))
            self._read(keep=0 if self._batch_hooks else 1)
            self._observe(fetched - began, time.perf_counter() - fetched)
            self.keras_callbacks.on_train_batch_end(number % steps, progress.sums.means())
            if self._votes.get(number - 1):
                break
            self.save(progress, self.capture)
        self._read()
        return End.STOPPED if any(self._votes.values()) else End.FINISHED

    def capture(self) -> State:
        """The state between two steps, with every result read."""
        self._read()
        self.progress.stop_training = bool(self.model.stop_training)
        return capture(self.model, self.step.optimizer, self.progress, self.callbacks)

    def evaluate(self, split: str) -> Sums | None:
        """Sums over every row of a split, each once, over all ranks; None when there is no such split."""
        if self.plan.split(split) is None:
            return None
        mine = Sums()
        for images, labels, weights in self.data.evaluation(split):
            mine += self.evaluation_step(images, labels, weights)
        return Sums(*self.distribution.sum(np.array(mine.values())))

    def _close_epoch(self) -> None:
        progress = self.progress
        logs = progress.sums.means()
        self.keras_callbacks.on_test_begin()
        validation = self.evaluate("validation")
        if validation:
            logs |= validation.means("val_")
        self.keras_callbacks.on_test_end(logs)
        logs["learning_rate"] = float(self.step.optimizer.learning_rate)
        progress.history.append(dict(logs))
        progress.sums = Sums()
        self.keras_callbacks.on_epoch_end(progress.epochs_closed, logs)
        progress.epochs_closed += 1
        self.save(progress, self.capture)

    def _read(self, keep: int = 0) -> None:
        """Adds the results of all but the newest `keep` steps to the epoch's sums."""
        while len(self._unread) > keep:
            number, unread = self._unread.pop(0)
            result: Result = self.step.read(unread)
            if not np.isfinite(result.sums.loss):
                raise RunError(
                    f"the loss of step {number} is not a number; nothing of it was saved",
                    "Lower train.optimizer.learning_rate, or look at the data of that step",
                )
            self.progress.sums += result.sums
            self._votes = {number: result.stop_votes, number - 1: self._votes.get(number - 1, 0.0)}

    def _observe(self, waited: float, worked: float) -> None:
        progress, means = self.progress, self.progress.sums.means()
        report(step=progress.step, phase="training")
        metrics.STEP.labels(self._rank).set(progress.step)
        metrics.IMAGES.labels(self._rank).inc(self.data.rows_per_step)
        metrics.DATA_WAIT.labels(self._rank).inc(waited)
        metrics.STEP_SECONDS.labels(self._rank).observe(worked)
        metrics.LOSS.labels(self._rank).set(means["loss"])
        metrics.ACCURACY.labels(self._rank).set(means["accuracy"])
        if self.story:
            batch = (progress.step - 1) % self.plan.steps_per_epoch
            self.story.progress(batch, means["loss"], means["accuracy"])


def _hooks_batches(callback: Any) -> bool:
    return type(callback).on_train_batch_end is not keras.callbacks.Callback.on_train_batch_end
