"""The training loop. Keras callbacks work in it unchanged.

Every rank runs the same calls in the same order, so nothing here may depend on what one rank alone knows: a
request to stop travels in the exchange, and the vote of step s is read when step s + 1 is done.
"""

import enum
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from functools import partial

import keras
import numpy as np
import tensorflow as tf

from trainer.checkpoints.training_state import TrainingState
from trainer.dataset.pipeline.stream import TensorBatch
from trainer.distribution import Distribution
from trainer.distribution.lost_rank import LOST, lost_peer
from trainer.distribution.rank_status import Phase, report_batch, report_phase, report_step
from trainer.distribution.stop_cause import StopCause
from trainer.errors import RunError, one_line, shortened
from trainer.observability.metrics import RunMetrics
from trainer.training.audit import Auditor
from trainer.training.callbacks import callback_state
from trainer.training.callbacks.trainer_callbacks import ProgressLog, settle_modes
from trainer.training.data import RankData
from trainer.training.evaluator import Evaluator, StopVoted
from trainer.training.finite import Diverged, check_metrics
from trainer.training.results.timer import Timer
from trainer.training.run_plan import RunPlan
from trainer.training.run_state import Progress, capture
from trainer.training.setup.network_steps import TrainedNetwork
from trainer.training.step import Result, Sums, TrainStep
from trainer.training.step.averages import assign_averages, averaged


class Outcome(enum.Enum):
    """How a loop ended."""

    FINISHED = "finished"
    STOPPED = "stopped on request"


class Loop:
    """Trains from `progress` to the last epoch, or to an agreed stop.

    Args:
        step, evaluator: of the phase that `progress` is in.
        save: called between two steps on every rank with a function that captures the state; on the chief it
            saves when a checkpoint is due.
        stop: whether this rank wants to stop.
    """

    def __init__(
        self,
        plan: RunPlan,
        distribution: Distribution,
        data: RankData,
        network: TrainedNetwork,
        step: TrainStep,
        evaluator: Evaluator,
        callbacks: Sequence[keras.callbacks.Callback],
        progress_log: ProgressLog | None,
        progress: Progress,
        save: Callable[[Progress, Callable[[], TrainingState]], None],
        stop: StopCause,
        metrics: RunMetrics,
        timer: Timer,
        auditor: Auditor | None = None,
        after_step: Callable[[], None] = lambda: None,
    ) -> None:
        self.plan, self.distribution, self.data = plan, distribution, data
        self.network, self.model, self.step = network, network.model, step
        self.evaluator = evaluator
        self.callbacks = list(callbacks)
        settle_modes(self.callbacks)
        self.progress_log, self.progress, self.save, self.stop = progress_log, progress, save, stop
        self.metrics, self.timer, self.auditor, self.after_step = metrics, timer, auditor, after_step
        self.keras_callbacks = keras.callbacks.CallbackList(
            [*callbacks, *([progress_log] if progress_log else [])],
            add_history=False,
            add_progbar=False,
            model=self.model,
        )
        self.keras_callbacks.set_params({"epochs": plan.config.train.epochs, "steps": plan.steps_per_epoch})
        self._batch_hooks = any(_hooks_batches(c) for c in self.callbacks)
        self._first_step = False
        """Whether the next step is the first one of a later phase, and is compiled."""
        self._unread: list[tuple[int, tf.Tensor]] = []
        self._votes: dict[int, float] = {}

    def run(self, batches: Iterator[TensorBatch], restored: TrainingState) -> Outcome:
        """Trains on `batches`, those of the steps from `progress.step` on.

        Raises RankLost when the exchange broke, Diverged when something is not finite.
        """
        progress = self.progress
        self.keras_callbacks.on_train_begin()
        callback_state.restore(restored, self.callbacks)
        self.model.stop_training = progress.stop_training and callback_state.still_stops(
            restored, self.callbacks
        )
        self._log_phase()
        while not (over := self._phase_is_over()) or len(progress.phases) + 1 < len(self.plan.phases):
            if over and self._stop_is_voted():
                return Outcome.STOPPED
            if over:
                self._next_phase()
            self._begin_epoch()
            if self._train_epoch(batches) is Outcome.STOPPED:
                return Outcome.STOPPED
            try:
                self._close_epoch()
            except StopVoted:
                return Outcome.STOPPED
        return Outcome.FINISHED

    def end(self) -> None:
        """Gives the model the weights that a phase ends with, and that are published as the last ones, as
        Keras's `fit` does at its end: moving averages, then what callbacks restore. Save before it: with more
        epochs a run resumes there."""
        assign_averages(self.step.optimizer)
        self.keras_callbacks.on_train_end()

    def _phase_is_over(self) -> bool:
        phase = self.plan.phases[len(self.progress.phases)]
        return self.progress.phase_epochs >= phase.epochs or bool(self.model.stop_training)

    def _stop_is_voted(self) -> bool:
        """Whether a rank was asked to stop: the next phase may take minutes to compile."""
        return bool(self.distribution.sum(np.array([float(self.stop.is_set())]))[0])

    def _next_phase(self) -> None:
        """Ends a phase as `fit` ends, and begins the next as another `fit` would."""
        progress = self.progress
        self.end()
        progress.phases.append(progress.phase_epochs)
        number = len(progress.phases)
        progress.exponents = None
        self._first_step = True
        report_phase(Phase.PREPARING)
        self.network.enter(self.plan, self.distribution, number)
        self.step, self.evaluator.step = self.network.steps(self.plan, self.distribution, self.data)
        if self.auditor:
            self.auditor.step = self.step
        self.keras_callbacks.on_train_begin()
        self.model.stop_training = False
        self._log_phase()

    def _log_phase(self) -> None:
        phase = self.plan.phases[len(self.progress.phases)]
        if self.progress_log and phase.count > 1:
            self.progress_log.begin_phase(phase)

    def _begin_epoch(self) -> None:
        """Calls `on_epoch_begin`; in an interrupted epoch only of callbacks that do not resume it."""
        epoch = self.progress.epochs_closed
        if self.progress.step == epoch * self.plan.steps_per_epoch:
            self.keras_callbacks.on_epoch_begin(epoch)
            return
        for callback in self.keras_callbacks.callbacks:
            if not callback_state.resumes_epoch(callback):
                callback.on_epoch_begin(epoch)

    def _train_epoch(self, batches: Iterator[TensorBatch]) -> Outcome:
        progress, steps = self.progress, self.plan.steps_per_epoch
        self.metrics.begin_epoch(progress.epochs_closed)
        end = (progress.epochs_closed + 1) * steps
        while progress.step < end:
            number = progress.step
            self.keras_callbacks.on_train_batch_begin(number % steps)
            report_phase(Phase.READING)
            began = time.perf_counter()
            _, images, labels, weights = next(batches)
            fetched = time.perf_counter()
            report_batch(int(images.shape[0]), Phase.PREPARING if self._first_step else Phase.TRAINING)
            try:
                result = self.step(number, images, labels, weights, self.stop.is_set(), self._audit(number))
            except LOST as error:
                raise lost_peer(error) from None
            except tf.errors.ResourceExhaustedError as error:
                reason = shortened(one_line(error))
                raise RunError(
                    f"step {number} ran out of memory: {reason}",
                    "Lower train.micro_batch or train.batch_size, or use more ranks",
                ) from None
            progress.step += 1
            self._first_step = False
            if self.auditor and self.auditor.due(number):
                progress.audited = progress.step
            self._unread.append((number, result))
            self._read(keep=0 if self._batch_hooks or progress.step == end else 1)
            self._observe(fetched - began, time.perf_counter() - fetched)
            self.after_step()
            self.keras_callbacks.on_train_batch_end(number % steps, progress.sums.means())
            if self._votes.get(number - 1):
                break
            with self.timer.saving():
                self.save(progress, self.capture)
        self._read()
        return Outcome.STOPPED if any(self._votes.values()) else Outcome.FINISHED

    def capture(self) -> TrainingState:
        """The state between two steps, with every result read."""
        self._read()
        self.progress.stop_training = bool(self.model.stop_training)
        if self.step.exponents is not None:
            self.progress.exponents = self.step.exponents.tolist()
        return capture(self.model, self.step.optimizer, self.progress, self.callbacks)

    def _audit(self, number: int) -> Callable[[tf.Tensor], None] | None:
        """The function that an audited step calls."""
        if self.auditor is None or not self.auditor.due(number):
            return None
        return partial(self.auditor.check, number)

    def _close_epoch(self) -> None:
        """Runs validation and callbacks, with the moving averages if the optimizer keeps any, as they are
        published. Training continues with the weights themselves."""
        progress = self.progress
        if not progress.sums.rows:
            raise RunError(
                f"epoch {progress.epochs_closed + 1} would end without a step", "Use a new run.url"
            )
        report_phase(Phase.PUBLISHING)
        with averaged(self.step.optimizer):
            logs = self._validated(progress.sums.means())
            check_metrics(logs, progress.epochs_closed)
            progress.history.append(dict(logs))
            progress.sums = Sums()
            with nullcontext() if self._is_validated() else callback_state.no_monitor_warnings():
                self.keras_callbacks.on_epoch_end(progress.epochs_closed, logs)
        self.timer.end_epoch(progress.epochs_closed)
        if self.distribution.is_chief:
            self.metrics.end_epoch(progress.history[-1])
        progress.epochs_closed += 1
        with self.timer.saving():
            self.save(progress, self.capture)

    def _is_validated(self) -> bool:
        return (self.progress.epochs_closed + 1) % self.plan.config.train.validation_freq == 0

    def _validated(self, logs: dict[str, float]) -> dict[str, float]:
        """The training's metrics, with those of the validation where this epoch has one."""
        if self._is_validated():
            self.keras_callbacks.on_test_begin()
            with self.timer.validation():
                validation = self.evaluator.evaluate("validation")
            if validation:
                logs |= validation.means("val_")
            self.keras_callbacks.on_test_end(logs)
        logs["learning_rate"] = self.step.rate()
        return logs

    def _read(self, keep: int = 0) -> None:
        """Adds the results of all but the newest `keep` steps to the epoch's sums.

        Raises RankLost where a step's exchange broke. That result stays unread, so that its step, which is
        not known to be whole, is never captured.
        """
        while len(self._unread) > keep:
            number, unread = self._unread[0]
            try:
                result: Result = self.step.read(unread)
            except LOST as error:  # on GPUs, of an exchange that broke after the call had returned
                raise lost_peer(error) from None
            del self._unread[0]
            if not result.finite:
                raise Diverged(f"gradients, statistics or loss of step {number} are not finite")
            self.progress.sums += result.sums
            self._votes = {number: result.stop_votes, number - 1: self._votes.get(number - 1, 0.0)}

    def _observe(self, waited: float, worked: float) -> None:
        progress = self.progress
        means = progress.sums.means() if progress.sums.rows else {}
        report_step(progress.step, self.distribution.exchange_began())
        self.timer.step(self.plan.config.train.batch_size, waited, worked)
        self.metrics.end_step(
            progress.step,
            images=self.data.rows_per_step,
            waited=waited,
            worked=worked,
            loss=means.get("loss"),
            accuracy=means.get("accuracy"),
        )
        if cache := self.plan.cache:
            counted = cache.counters
            self.metrics.cache(hits=counted.hits, misses=counted.misses, bytes_read=counted.bytes_read)
        if self.progress_log:
            batch = (progress.step - 1) % self.plan.steps_per_epoch
            self.progress_log.end_step(batch, means.get("loss"), means.get("accuracy"))


def _hooks_batches(callback: keras.callbacks.Callback) -> bool:
    """Whether it reads the logs of each step; also by the older name of the method, and by a function."""
    return any(
        getattr(getattr(callback, name), "__func__", None) is not getattr(keras.callbacks.Callback, name)
        for name in ("on_train_batch_end", "on_batch_end")
    )
