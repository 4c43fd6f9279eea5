"""Checkpoints, saved during training: copied between two steps, written by a thread, one at a time.

The protocol is in `commit`, reading in `restore`, removal in `retention`, who may write in `runs.fence`.
Guarantees, whichever process dies between any two requests:

- `restore` returns a state whose every byte is the one that was saved, never a mixture.
- It is never older than an acknowledged one (`last_step`): a save is acknowledged when its commit is stored
  and the token is still the newest after it, so every later holder sees it; and retention never removes the
  newest.
- A writer with an old token does not change published objects, except by the one request that was under way
  when the token was taken (see `fence.publish`).
"""

import logging
import time
from collections.abc import Callable
from types import TracebackType

import numpy as np

from trainer.checkpoints.array_layout import ArrayLayout, Bytes
from trainer.checkpoints.commit import PIECE_BYTES, Commit, new_uid, write
from trainer.checkpoints.retention import ORPHAN_AGE, READ_AGE, Retention
from trainer.checkpoints.sweeper import Sweeper
from trainer.checkpoints.training_state import TrainingState, describe
from trainer.runs.background_writer import CHECKPOINT, Background, Write
from trainer.runs.fence import Fence, Superseded
from trainer.runs.layout import Attempt
from trainer.storage.base import Store

log = logging.getLogger(__name__)

WORKERS = 4
"""Threads that upload the pieces of a checkpoint."""
SKIP_AFTER = 5.0
"""Seconds after which a save does not wait any more for the previous one, and is skipped."""


class CheckpointWriter:
    """Saves a run's states. Used from one thread.

    Attributes for metrics: `stalled_seconds` (total time that callers spent here), `last_step`,
    `last_committed_at` (Unix seconds), `last_duration` (seconds from the copy to the acknowledgement),
    `failures` (consecutive). `best_step` may be set to a step that retention keeps, `audited_step` to one up
    to which it keeps the newest.

    Args:
        background: the queue of all writes of the run; closed with the writer.
    """

    def __init__(
        self,
        store: Store,
        fence: Fence,
        background: Background | None = None,
        *,
        keep_last: int = 3,
        keep_every: int | None = None,
        read_age: float = READ_AGE,
        orphan_age: float = ORPHAN_AGE,
        piece_bytes: int = PIECE_BYTES,
        workers: int = WORKERS,
    ) -> None:
        self.store = store
        self.fence = fence
        self.background = background or Background(store.url)
        self.piece_bytes = piece_bytes
        self.workers = workers
        self.best_step: int | None = None
        self.audited_step: int | None = None
        self.stalled_seconds = 0.0
        self.last_step: int | None = None
        self.last_committed_at: float | None = None
        self.last_duration: float | None = None
        self._retention = Retention(
            fence, keep_last=keep_last, keep_every=keep_every, read_age=read_age, orphan_age=orphan_age
        )
        self._layout = ArrayLayout()
        self._buffer: Bytes = np.empty(0, np.uint8)
        self._mine: Attempt | None = None
        self._sweeper = Sweeper(lambda: self._sweep(stop=lambda: self._sweeper.closing))

    @property
    def failures(self) -> int:
        return self.background.failures

    @property
    def is_idle(self) -> bool:
        """Whether no checkpoint is being stored, or waits for it."""
        return not self.background.has(CHECKPOINT)

    def save(self, state: TrainingState, wait: bool = False) -> bool:
        """Copies `state` now and stores it in a thread; the caller may then change the arrays.

        Waits for the previous save, unless that one failed: then this one replaces it. With `wait` it returns
        when the state is committed. Without, it saves nothing and returns False once the previous save has
        taken SKIP_AFTER seconds: while a store does not answer, training continues.

        Raises:
            Superseded: another process holds a higher token.
            TransientError: the last writes failed, as often and as long as `Background` allows.
            TypeError: values that JSON cannot hold, or arrays of other than numbers.
        """
        entered = time.monotonic()
        try:
            free = self.background.withdraw(CHECKPOINT, patience=None if wait else SKIP_AFTER)
            self.background.check()
            if not free:
                return False
            began = time.monotonic()
            self._copy(state)
            step, description = state.step, describe(state, self._layout)
            save = Write(
                f"the checkpoint of step {step}",
                CHECKPOINT,
                lambda: self._acknowledge(self._write(step, description), began),
            )
            self.background.submit(save)
            if wait:
                self.background.wait(save)
                self.background.check()
            return True
        finally:
            self.stalled_seconds += time.monotonic() - entered

    def wait(self) -> None:
        """Waits until all writes are done. Raises the errors of `save`."""
        entered = time.monotonic()
        self.background.wait()
        self.stalled_seconds += time.monotonic() - entered
        self.background.check()

    def tidy(self, stop: Callable[[], bool] = lambda: False) -> None:
        """Applies retention at the end of a run, without waiting for readers, until `stop`.

        Logs a failure. Raises the errors of `save`.
        """
        self.wait()
        self._sweeper.close()
        self._sweep(readers=False, stop=stop)
        self.background.check()

    def close(self) -> None:
        """Waits for the writes under way, and ends the threads. Raises nothing."""
        self.background.close()
        self._sweeper.close()

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
                raise TypeError("expected arrays that keep their dtypes and shapes while they are saved")

    def _write(self, step: int, description: bytes) -> Commit:
        attempt = Attempt(step, self.fence.number, new_uid())
        buffer = self._buffer.data
        return write(
            self.fence, attempt, buffer, description, piece_bytes=self.piece_bytes, workers=self.workers
        )

    def _acknowledge(self, commit: Commit, began: float) -> None:
        self._mine = commit.attempt
        self.last_step = commit.attempt.step
        self.last_committed_at = time.time()
        self.last_duration = time.monotonic() - began
        self._sweeper.wake()

    def _sweep(self, stop: Callable[[], bool], readers: bool = True) -> None:
        try:
            self._retention.sweep(self._mine, self.best_step, self.audited_step, readers=readers, stop=stop)
        except Superseded as error:
            self.background.end(error)
        except Exception as error:
            log.warning("could not remove old checkpoints: %s: %s", type(error).__name__, error)


def save_once(fence: Fence, state: TrainingState) -> None:
    """Stores a state, without a thread and without retention. Raises Superseded, TransientError, OSError."""
    layout = ArrayLayout.of(state.arrays)
    buffer: Bytes = np.zeros(layout.nbytes, np.uint8)
    layout.fill(buffer, state.arrays)
    attempt = Attempt(state.step, fence.number, new_uid())
    write(fence, attempt, buffer.data, describe(state, layout), piece_bytes=PIECE_BYTES, workers=WORKERS)
