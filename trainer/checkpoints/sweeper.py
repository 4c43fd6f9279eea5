"""A thread that removes old checkpoints behind the saves, which never wait for it."""

import threading
from collections.abc import Callable

CLOSE_SECONDS = 1.0


class Sweeper:
    """Calls `sweep` after each `wake`, in a thread of its own; several wakes may be one call.

    A sweep looks at `closing` between its requests.
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
        """Ends the thread. One that waits for a store is left: a removal that breaks off does no harm."""
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
