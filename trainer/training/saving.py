"""When the chief saves, and what it says about it."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from trainer.config import Run
from trainer.observability import metrics
from trainer.storage import Store
from trainer.training.checkpoint import Checkpoints, Fence, State
from trainer.training.schedule import Schedule
from trainer.training.state import Progress

log = logging.getLogger(__name__)

GRACE_SHARE = 0.5
"""A save that takes more of the grace period than this is worth a warning."""


class Saver:
    """Called between two steps on every rank; on the chief it saves when a checkpoint is due.

    Args:
        checkpoints: None on the ranks that are not the chief: there nothing happens.
        best_step: the step whose checkpoint retention keeps, None while there is none.
    """

    def __init__(
        self,
        checkpoints: Checkpoints | None,
        run: Run,
        progress: Progress,
        best_step: Callable[[], int | None],
    ) -> None:
        self._checkpoints = checkpoints
        self._run = run
        self._schedule = Schedule(
            run.checkpoint.every, progress.step, progress.epochs_closed, time.monotonic()
        )
        self._best_step = best_step
        self._warned = False

    def __call__(self, progress: Progress, capture: Callable[[], State]) -> None:
        now = time.monotonic()
        if self._checkpoints and self._schedule.due(progress.step, progress.epochs_closed, now):
            self._checkpoints.best_step = self._best_step()
            self._checkpoints.save(capture())
            self._schedule.taken(progress.step, progress.epochs_closed, now)
        self._show()

    def finish(self, capture: Callable[[], State]) -> None:
        """Saves now, and returns when that is committed."""
        if self._checkpoints:
            self._checkpoints.best_step = self._best_step()
            self._checkpoints.save(capture(), wait=True)
        self._show()

    def _show(self) -> None:
        checkpoints = self._checkpoints
        if checkpoints is None:
            return
        metrics.CHECKPOINT_STALL.labels("0").set(checkpoints.stalled_seconds)
        if checkpoints.last_step is None or checkpoints.last_committed_at is None:
            return
        metrics.CHECKPOINT_STEP.labels("0").set(checkpoints.last_step)
        metrics.CHECKPOINT_TIME.labels("0").set(checkpoints.last_committed_at)
        took = checkpoints.last_duration or 0.0
        if not self._warned and took > GRACE_SHARE * self._run.grace:
            self._warned = True
            log.warning(
                "a checkpoint took %.1f s of the %.0f s that are there after SIGTERM; raise run.grace",
                *(took, self._run.grace),
            )


@contextmanager
def saver(
    store: Store, fence: Fence | None, run: Run, progress: Progress, best_step: Callable[[], int | None]
) -> Iterator[Saver]:
    """A `Saver`; at the end the save on its way is waited for."""
    if fence is None:
        yield Saver(None, run, progress, best_step)
        return
    cadence = run.checkpoint
    with Checkpoints(store, fence, keep_last=cadence.keep_last, keep_every=cadence.keep_every) as checkpoints:
        yield Saver(checkpoints, run, progress, best_step)
