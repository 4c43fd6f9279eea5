"""Checkpoints, saved while training goes on: copied between two steps, written by a thread, one at a time.

The protocol is in `commit`, reading in `restore`, what stays in `retention`, who may write in `runs.fence`.
What holds, whoever dies between any two requests:

- `restore` returns a state whose every byte is the one that was saved, never a mixture.
- It is never older than an acknowledged one (`last_step`): a save is acknowledged when its commit is
  there and the token is still the newest after it, so every later holder sees it; and retention never
  removes the newest.
- A writer with an old token changes nothing that people download, but for the one request that was on
  its way when the token was taken (see `fence.publish`).
"""

import logging
import queue
import threading
import time
from dataclasses import dataclass, field
from types import TracebackType

import numpy as np

from trainer.checkpoints.array_layout import ArrayLayout, Bytes
from trainer.checkpoints.commit import PIECE_BYTES, Commit, new_uid, write
from trainer.checkpoints.retention import ORPHAN_AGE, READ_AGE, Retention
from trainer.checkpoints.state import TrainingState, describe
from trainer.errors import Interrupted
from trainer.runs.fence import Fence, Superseded
from trainer.runs.layout import Attempt
from trainer.storage.base import Store

log = logging.getLogger(__name__)


@dataclass
class _Job:
    """One save on its way: `description` is its state.json, the arrays are in the host buffer."""

    step: int
    description: bytes
    began: float
    error: Exception | None = None
    settled: threading.Event = field(default_factory=threading.Event)


class CheckpointWriter:
    """Saves a run's states. Used from one thread.

    Attributes for metrics: `stalled_seconds` (all time that callers spent in here), `last_step`,
    `last_committed_at` (Unix seconds), `last_duration` (seconds from the copy to the acknowledgement),
    `failures` (in a row). `best_step` may be set to a step that retention keeps.
    """

    def __init__(
        self,
        store: Store,
        fence: Fence,
        *,
        keep_last: int = 3,
        keep_every: int | None = None,
        max_failures: int = 5,
        read_age: float = READ_AGE,
        orphan_age: float = ORPHAN_AGE,
        piece_bytes: int = PIECE_BYTES,
        workers: int = 4,
    ) -> None:
        self.store = store
        self.fence = fence
        self.max_failures = max_failures
        self.piece_bytes = piece_bytes
        self.workers = workers
        self.best_step: int | None = None
        self.stalled_seconds = 0.0
        self.last_step: int | None = None
        self.last_committed_at: float | None = None
        self.last_duration: float | None = None
        self.failures = 0
        self._retention = Retention(
            fence, keep_last=keep_last, keep_every=keep_every, read_age=read_age, orphan_age=orphan_age
        )
        self._sweeping = threading.Lock()
        self._layout = ArrayLayout()
        self._buffer: Bytes = np.empty(0, np.uint8)
        self._superseded: Superseded | None = None
        self._error: Exception | None = None
        self._mine: Attempt | None = None
        self._job: _Job | None = None
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._closing = False
        self._thread = threading.Thread(target=self._work, name="checkpoints", daemon=True)
        self._thread.start()

    def save(self, state: TrainingState, wait: bool = False) -> None:
        """Copies `state` now and stores it in a thread; the caller may go on changing the arrays.

        Waits for the save before it. With `wait` it returns when the state is committed, and
        tries again for that until `max_failures` in a row failed.

        Raises:
            Superseded: another process holds a higher token.
            Interrupted: the last `max_failures` saves failed.
            TypeError: values that are not plain, or arrays that are not of numbers.
        """
        entered = time.monotonic()
        try:
            self._settle()
            self._raise_if_failed()
            began = time.monotonic()
            self._copy(state)
            job = self._submit(_Job(state.step, describe(state, self._layout), began))
            while wait:
                self._settle()
                if job.error is None:
                    return
                self._raise_if_failed()
                job = self._submit(_Job(state.step, job.description, time.monotonic()))
        finally:
            self.stalled_seconds += time.monotonic() - entered

    def wait(self) -> None:
        """Returns when nothing is on its way any more. Raises as `save` does."""
        entered = time.monotonic()
        self._settle()
        self.stalled_seconds += time.monotonic() - entered
        self._raise_if_failed()

    def tidy(self) -> None:
        """Applies retention now, without regard to readers: for the end of a run."""
        self.wait()
        self._sweep(readers=False)

    def close(self) -> None:
        """Waits for the save on its way, if there is one, and ends the thread. Raises nothing."""
        self._settle()
        self._closing = True
        self._jobs.put(None)
        self._thread.join()

    def __enter__(self) -> "CheckpointWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _copy(self, state: TrainingState) -> None:
        if not self._layout.fill(self._buffer, state.arrays):
            self._layout = ArrayLayout.of(state.arrays)
            if self._buffer.nbytes != self._layout.nbytes:
                self._buffer = np.empty(0, np.uint8)
                self._buffer = np.zeros(self._layout.nbytes, np.uint8)
            if not self._layout.fill(self._buffer, state.arrays):
                raise TypeError("Expected arrays that keep their dtypes and shapes while they are saved")

    def _submit(self, job: _Job) -> _Job:
        self._job = job
        self._jobs.put(job)
        return job

    def _settle(self) -> None:
        if self._job is not None:
            self._job.settled.wait()

    def _raise_if_failed(self) -> None:
        if self._superseded is not None:
            raise self._superseded
        if self.failures >= self.max_failures:
            raise Interrupted(
                f"{self.store.url}: {self.failures} checkpoints in a row failed, the last: {self._error}",
                "Repair the store or the rights to it, and start the run again: it resumes from the last one",
            ) from self._error

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                self._acknowledge(job, self._write(job))
            except Superseded as error:
                self._superseded = job.error = error
                log.warning("the checkpoint of step %d was not saved: %s", job.step, error)
            except Exception as error:
                self._fail(job, error)
            finally:
                job.settled.set()
            if job.error is None:
                self._sweep()

    def _write(self, job: _Job) -> Commit:
        attempt = Attempt(job.step, self.fence.number, new_uid())
        buffer = self._buffer.data
        return write(
            self.fence, attempt, buffer, job.description, piece_bytes=self.piece_bytes, workers=self.workers
        )

    def _acknowledge(self, job: _Job, commit: Commit) -> None:
        self._mine = commit.attempt
        self.failures, self._error = 0, None
        self.last_step = job.step
        self.last_committed_at = time.time()
        self.last_duration = time.monotonic() - job.began

    def _fail(self, job: _Job, error: Exception) -> None:
        job.error = self._error = error
        self.failures += 1
        log.warning(
            "the checkpoint of step %d failed (%d in a row; at %d the run stops): %s: %s",
            *(job.step, self.failures, self.max_failures, type(error).__name__, error),
            exc_info=None if isinstance(error, OSError) else error,
        )

    def _sweep(self, readers: bool = True) -> None:
        try:
            with self._sweeping:
                self._retention.sweep(self._mine, self.best_step, readers=readers, stop=lambda: self._closing)
        except Superseded as error:
            self._superseded = error
        except Exception as error:
            log.warning("old checkpoints were not removed: %s: %s", type(error).__name__, error)
