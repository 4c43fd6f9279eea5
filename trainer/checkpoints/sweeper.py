"""A thread that removes old checkpoints, so that saves never wait for it."""

import threading
from collections.abc import Callable

CLOSE_SECONDS = 1.0


class Sweeper:
    """Calls `sweep` after each `wake`, in a thread; several wakes may lead to one call.

    A sweep checks `closing` between its requests.
    """

    def __init__(self, sweep: Callable[[], None]) -> None:
        self.closing = False
        self._sweep = sweep
        self._woken = threading.Event()
        self._thread: threading.Thread | None = None

    def wake(self) -> None:
        self._woken.set()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="retention", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Ends the thread, or leaves it if it waits for the store: an interrupted removal does no harm."""
        self.closing = True
        self._woken.set()
        if self._thread is not None:
            self._thread.join(CLOSE_SECONDS)

    def _run(self) -> None:
        while True:
            self._woken.wait()
            self._woken.clear()
            if self.closing:
                return
            self._sweep()
