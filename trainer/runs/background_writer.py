"""Writes objects one after another in a thread, so that training does not wait for the store."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from trainer.errors import TransientError, explain_os_error
from trainer.output.units import plural
from trainer.runs.fence import Superseded
from trainer.storage import retry_seconds

log = logging.getLogger(__name__)

CHECKPOINT = "checkpoint"
GIVE_UP_BUDGETS = 2


@dataclass(eq=False)
class Write:
    """One object to be written: its `description` for the log, and the `key` that it replaces, or CHECKPOINT.

    Later writes do not rely on a write that `may_wait`: it comes when no other is left.
    """

    description: str
    key: str
    action: Callable[[], object]
    may_wait: bool = False


class Background:
    """Does writes in the order of their submission, each until it succeeds; those that may wait come last.

    So objects that a checkpoint names as published are published before it is committed. A write in the queue
    is dropped for a newer one of its key, unless a checkpoint is between them.

    A failure is logged, and the write retried after a pause. When a key has failed `max_failures` times in a
    row and for twice `budget` seconds, or when a higher token exists, writing ends, and `check` raises the
    reason.

    Args:
        url: the store's URL, for errors.
        max_failures: consecutive failures of a key.
        budget: seconds of one operation of the store; pauses are between a 60th and a sixth of it.
    """

    def __init__(self, url: str, *, max_failures: int = 5, budget: float | None = None) -> None:
        self.url = url
        self.max_failures = max_failures
        self._budget = retry_seconds() if budget is None else budget
        self._queue: list[Write] = []
        self._under_way: Write | None = None
        self._under_way_since = 0.0
        self._failing: dict[str, tuple[float, int]] = {}
        """The start of the first attempt and the number of failures, for each key that fails."""
        self._error: Exception | None = None
        self._ended = self._closing = False
        self._waiting = 0
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    @property
    def failures(self) -> int:
        """Consecutive failures of the key that has most."""
        return max((count for _, count in list(self._failing.values())), default=0)

    def submit(self, write: Write) -> None:
        """Adds a write to the end of the queue."""
        with self._changed:
            if self._ended:
                return
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="checkpoints", daemon=True)
                self._thread.start()
            self._queue.append(write)
            self._drop_replaced()
            self._changed.notify_all()

    def has(self, key: str) -> bool:
        """Whether a write of `key` is not done."""
        with self._changed:
            return any(write.key == key for write in self._queue)

    def withdraw(self, key: str, *, patience: float | None = None) -> bool:
        """Waits for the writes of `key`. Drops those that failed or are behind a failed write, for newer
        ones.

        Returns False, with nothing dropped, if the write under way has taken `patience` seconds.
        """

        def is_free() -> bool:
            started = self._under_way is not None and self._under_way.key == key
            queued = any(write.key == key for write in self._queue)
            return not queued or (bool(self._failing) and not started)

        with self._changed:
            left = None
            if patience is not None and self._under_way:
                left = max(0.0, self._under_way_since + patience - time.monotonic())
            if not self._changed.wait_for(is_free, left):
                return False
            self._queue = [write for write in self._queue if write.key != key]
            return True

    def wait(self, write: Write | None = None) -> None:
        """Waits until `write` is done (by default all writes), or writing has ended; see `check`."""
        with self._changed:
            self._waiting += 1
            self._changed.notify_all()
            self._changed.wait_for(lambda: write not in self._queue if write else not self._queue)
            self._waiting -= 1

    def check(self) -> None:
        """Raises Superseded, or TransientError after too many failures."""
        if not self._ended:
            return
        if isinstance(self._error, Superseded):
            raise self._error
        remedy = explain_os_error(self._error).remedy if isinstance(self._error, OSError) else ""
        raise TransientError(
            f"{self.url}: {self.failures} consecutive writes failed; last error: {self._error}",
            f"{remedy or 'Check the store and its permissions'}, and restart the run: it resumes from the "
            "last checkpoint",
        ) from self._error

    def end(self, error: Exception) -> None:
        """Ends writing because of `error`."""
        with self._changed:
            self._ended, self._error = True, error
            self._queue.clear()
            self._changed.notify_all()

    def close(self) -> None:
        """Does the remaining writes until one fails, and ends the thread. Raises nothing."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self._closing)
                if not self._queue:
                    return
                self._under_way = write = next((w for w in self._queue if not w.may_wait), self._queue[0])
                self._under_way_since = time.monotonic()
            failed = not self._try(write)
            with self._changed:
                self._under_way = None
                if failed and self._closing:
                    self._queue.clear()
                elif failed:
                    self._drop_replaced()
                else:
                    self._queue = [other for other in self._queue if other is not write]
                self._changed.notify_all()
                if failed and self._queue:
                    self._pause(write.key)

    def _try(self, write: Write) -> bool:
        began = time.monotonic()
        try:
            write.action()
        except Superseded as error:
            log.warning("%s was not saved: %s", write.description, error)
            self.end(error)
        except Exception as error:
            self._note_failure(write, error, began)
        else:
            if write.key in self._failing:
                since, count = self._failing.pop(write.key)
                attempts = plural(count, "failed attempt")
                seconds = time.monotonic() - since
                log.info("%s was saved after %s in %.0f s", write.description, attempts, seconds)
            return True
        return False

    def _note_failure(self, write: Write, error: Exception, began: float) -> None:
        since, count = self._failing.get(write.key, (began, 0))
        self._failing[write.key] = since, count + 1
        if count == 0:
            log.warning(
                "%s failed; retrying: %s: %s",
                *(write.description, type(error).__name__, error),
                exc_info=None if isinstance(error, OSError) else error,
            )
        lasted = time.monotonic() - since
        if count + 1 >= self.max_failures and lasted >= GIVE_UP_BUDGETS * self._budget:
            self.end(error)

    def _pause(self, key: str) -> None:
        """Pauses after a failure, only shortly while a caller waits."""
        first, longest = self._budget / 60, self._budget / 6
        if not self._waiting:
            _, count = self._failing.get(key, (0.0, 1))
            seconds = min(longest, first * 2 ** min(count - 1, 10))
            if not self._changed.wait_for(lambda: self._waiting or self._closing, seconds):
                return
        self._changed.wait_for(lambda: self._closing, first)

    def _drop_replaced(self) -> None:
        newer: set[str] = set()
        kept: list[Write] = []
        for write in reversed(self._queue):
            if write.key in newer and write is not self._under_way:
                continue
            newer = {CHECKPOINT} if write.key == CHECKPOINT else newer | {write.key}
            kept.append(write)
        self._queue = kept[::-1]
