"""A few threads that fetch ahead, and can be left at once."""

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from types import TracebackType


class Fetchers:
    """Runs tasks in `threads` daemon threads, in the order given.

    Unlike concurrent.futures' pool, leaving waits for nothing: tasks not begun are dropped, and a thread
    in a slow read ends after it; no thread keeps the interpreter from exiting.
    """

    def __init__(self, threads: int) -> None:
        self._tasks: queue.SimpleQueue[tuple[Future[None], Callable[[], None]] | None] = queue.SimpleQueue()
        self._closed = threading.Event()
        self._threads = [
            threading.Thread(target=self._work, name=f"fetch-{number}", daemon=True)
            for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, task: Callable[[], None]) -> Future[None]:
        """The future has the task's error, if it raises."""
        future: Future[None] = Future()
        self._tasks.put((future, task))
        return future

    def __enter__(self) -> "Fetchers":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed.set()
        for _ in self._threads:
            self._tasks.put(None)

    def _work(self) -> None:
        while (entry := self._tasks.get()) is not None:
            self._run(*entry)
            del entry  # or a thread that waits would keep the last task's buffer

    def _run(self, future: Future[None], task: Callable[[], None]) -> None:
        if self._closed.is_set() or not future.set_running_or_notify_cancel():
            return
        try:
            task()
        except BaseException as error:  # the one who waits raises it
            future.set_exception(error)
        else:
            future.set_result(None)
