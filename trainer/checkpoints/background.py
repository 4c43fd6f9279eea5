"""What a run writes while it trains, one thing after the other, in a thread: so training waits for no store."""

import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from trainer.errors import Interrupted, explain_os_error
from trainer.runs.fence import Superseded
from trainer.storage.retry import retry_seconds

log = logging.getLogger(__name__)

FIRST_PAUSE = 1 / 8
"""Of the store's budget: the pause after a first failure, doubled with each further one. So also an error that
comes at once, as from a full disk, is given about two budgets before the run stops."""

CHECKPOINTS = "checkpoints"


@dataclass
class Write:
    """One thing to be written, `what` it is for the log.

    `kind` is what it replaces: its key, or CHECKPOINTS. `once` is a write that is not tried again, since newer
    content comes. `error` is that of the last try.
    """

    what: str
    kind: str
    action: Callable[[], None]
    once: bool = False
    under_way: bool = False
    settled: bool = False
    error: Exception | None = None


class Background:
    """Writes in the order in which they were submitted, each until it is done.

    So what a checkpoint says is published, is published before it is committed. Content that waits is replaced
    by newer content of its key, where no checkpoint was submitted between them.

    A failed write is logged and tried again after a pause. After `max_failures` in a row of one kind, and when
    a higher token is found, nothing more is written, and `check` raises the reason.
    """

    def __init__(self, url: str, *, max_failures: int = 5, pause: float | None = None) -> None:
        self.url = url
        self.max_failures = max_failures
        self._first_pause = retry_seconds() * FIRST_PAUSE if pause is None else pause
        self._failures: dict[str, int] = {}
        self._error: Exception | None = None
        self._superseded: Superseded | None = None
        self._queue: deque[Write] = deque()
        self._changed = threading.Condition()
        self._hurried = self._closing = False
        self._thread: threading.Thread | None = None

    @property
    def failures(self) -> int:
        """In a row, of the kind that has most."""
        return max(self._failures.values(), default=0)

    @property
    def ended(self) -> bool:
        """Whether nothing more is written."""
        return self._superseded is not None or self.failures >= self.max_failures

    def submit(self, write: Write) -> None:
        """Puts a write behind the others, or in the place of one that it replaces."""
        with self._changed:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="checkpoints", daemon=True)
                self._thread.start()
            for at in reversed(range(len(self._queue))):
                waiting = self._queue[at]
                if waiting.kind == CHECKPOINTS:
                    break
                if waiting.kind == write.kind and not waiting.under_way:
                    waiting.settled = True
                    self._queue[at] = write
                    break
            if write not in self._queue:
                self._queue.append(write)
            self._changed.notify_all()

    def wait(self, write: Write | None = None, seconds: float | None = None) -> bool:
        """Returns when `write` is settled (without one: when nothing is left to write), or after `seconds`.

        Returns whether it is. It is also when nothing more is written at all.
        """

        def settled() -> bool:
            return not self._queue if write is None else write.settled

        with self._changed:
            return self._changed.wait_for(settled, seconds)

    def hurry(self) -> None:
        """Ends the pause after a failure, if there is one."""
        with self._changed:
            self._hurried = True
            self._changed.notify_all()

    def superseded_by(self, error: Superseded) -> None:
        """Nothing more is written."""
        self._superseded = error

    def check(self) -> None:
        """Raises Superseded, or Interrupted after too many failures."""
        if self._superseded is not None:
            raise self._superseded
        if self.failures >= self.max_failures:
            remedy = explain_os_error(self._error).remedy if isinstance(self._error, OSError) else ""
            raise Interrupted(
                f"{self.url}: {self.failures} writes in a row failed, the last: {self._error}",
                f"{remedy or 'Repair the store or the rights to it'}, and start the run again: it resumes from "
                "the last checkpoint",
            ) from self._error

    def close(self) -> None:
        """Tries once more what is still to be written, and ends the thread. Raises nothing."""
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
                write = self._queue[0]
                write.under_way = True
            self._try(write)
            with self._changed:
                write.under_way = False
                if write.error is None or write.once or self._closing or self.ended or self._is_replaced(write):
                    self._queue.popleft()
                    write.settled = True
                if self.ended:
                    for left in self._queue:
                        left.error, left.settled = write.error, True
                    self._queue.clear()
                self._hurried = False
                self._changed.notify_all()
                if write.error is not None:
                    self._changed.wait_for(lambda: self._hurried or self._closing, self._pause())

    def _try(self, write: Write) -> None:
        before, write.error = self._failures.get(write.kind, 0), None
        if self.ended:
            write.error = self._superseded or self._error
            return
        try:
            write.action()
        except Superseded as error:
            self._superseded = write.error = error
            log.warning("%s was not saved: %s", write.what, error)
        except Exception as error:
            write.error = self._error = error
            self._failures[write.kind] = before + 1
            log.warning(
                "%s failed (%d in a row; at %d the run stops): %s: %s",
                *(write.what, before + 1, self.max_failures, type(error).__name__, error),
                exc_info=None if isinstance(error, OSError) else error,
            )
        else:
            self._failures[write.kind] = 0
            if before:
                log.info("%s was saved after %d failures in a row", write.what, before)

    def _is_replaced(self, write: Write) -> bool:
        """Whether newer content of its key waits, and no checkpoint between them."""
        for waiting in list(self._queue)[1:]:
            if waiting.kind == CHECKPOINTS:
                return False
            if waiting.kind == write.kind:
                return True
        return False

    def _pause(self) -> float:
        return 0.0 if self.ended else float(self._first_pause * 2 ** max(0, self.failures - 1))
