"""When the chief saves a checkpoint, and what it logs about it."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from trainer.checkpoints.checkpoint_schedule import CheckpointSchedule
from trainer.checkpoints.training_state import TrainingState
from trainer.checkpoints.writer import CheckpointWriter
from trainer.config.run_sections import RunSection
from trainer.distribution.rank_status import Phase, report_phase
from trainer.observability.metrics import RunMetrics
from trainer.runs.background_writer import Background
from trainer.runs.fence import Fence
from trainer.storage import Store
from trainer.training.run_state import Progress

log = logging.getLogger(__name__)

GRACE_FRACTION = 0.5
"""A save that takes more of the grace period than this is logged as a warning."""


class Saver:
    """Called between two steps on every rank; on the chief it saves when a checkpoint is due.

    Args:
        writer: None on the ranks that are not the chief: there nothing happens.
        best_step: the step whose checkpoint retention keeps, None while there is none.
        unsaved: whether the first state may be in no checkpoint: then the next one is due at once.
    """

    def __init__(
        self,
        writer: CheckpointWriter | None,
        run: RunSection,
        progress: Progress,
        metrics: RunMetrics,
        best_step: Callable[[], int | None],
        *,
        unsaved: bool = False,
    ) -> None:
        self._writer = writer
        self._unsaved = unsaved
        self._run = run
        self._progress = progress
        self._metrics = metrics
        self._schedule = CheckpointSchedule(
            run.checkpoint.every, progress.step, progress.epochs_closed, time.monotonic()
        )
        self._best_step = best_step
        self._warned = False
        self._skips = False

    def __call__(self, progress: Progress, capture: Callable[[], TrainingState]) -> None:
        now = time.monotonic()
        if self._writer and (
            self._unsaved
            or self._schedule.due(progress.step, progress.epochs_closed, now, stored=self._writer.is_idle)
        ):
            report_phase(Phase.SAVING)
            self._keep()
            if self._writer.save(capture()):
                self._schedule.taken(progress.step, progress.epochs_closed, now)
                self._skips = self._unsaved = False
            elif not self._skips:
                self._skips = True
                log.warning(
                    "the checkpoint of step %d is skipped: the store has not finished the previous one; the "
                    "next one is saved as soon as it has",
                    progress.step,
                )
        self._report()

    def finish(self, capture: Callable[[], TrainingState]) -> None:
        """Saves now, and returns when that is committed."""
        if self._writer:
            report_phase(Phase.SAVING)
            self._keep()
            self._writer.save(capture(), wait=True)
        self._report()

    def settle(self) -> None:
        """Waits for pending writes: what a checkpoint names as published is published before another process
        writes."""
        if self._writer:
            report_phase(Phase.SAVING)
            self._writer.wait()

    def rescue(self, progress: Progress, capture: Callable[[], TrainingState]) -> None:
        """Saves finished steps, unless they are saved already, before a rank leaves whose exchange broke."""
        saved = self._schedule.step, self._schedule.epochs
        if self._unsaved or (progress.step, progress.epochs_closed) != saved:
            self.finish(capture)
        else:
            self.settle()

    def tidy(self, stop: Callable[[], bool]) -> None:
        """Removes, at the end of the run, the checkpoints that retention does not keep, until `stop`."""
        if self._writer:
            self._writer.tidy(stop)

    def _keep(self) -> None:
        """Passes on what else retention keeps."""
        if self._writer:
            self._writer.best_step, self._writer.audited_step = self._best_step(), self._progress.audited

    def _report(self) -> None:
        writer = self._writer
        if writer is None:
            return
        self._metrics.checkpoint_stalled(writer.stalled_seconds)
        if writer.last_step is None or writer.last_committed_at is None:
            return
        self._metrics.checkpoint(writer.last_step, writer.last_committed_at)
        duration = writer.last_duration or 0.0
        if not self._warned and duration > GRACE_FRACTION * self._run.grace:
            self._warned = True
            log.warning(
                "saving a checkpoint took %.1f s of the %.0f s grace period; raise run.grace",
                *(duration, self._run.grace),
            )


@contextmanager
def saver(
    store: Store,
    fence: Fence | None,
    background: Background,
    run: RunSection,
    progress: Progress,
    metrics: RunMetrics,
    best_step: Callable[[], int | None],
    *,
    unsaved: bool = False,
) -> Iterator[Saver]:
    """A `Saver` that writes in `background`; at the end it waits for pending writes."""
    if fence is None:
        yield Saver(None, run, progress, metrics, best_step)
        return
    options = run.checkpoint
    with CheckpointWriter(
        store, fence, background, keep_last=options.keep_last, keep_every=options.keep_every
    ) as writer:
        yield Saver(writer, run, progress, metrics, best_step, unsaved=unsaved)
