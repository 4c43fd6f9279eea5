"""Says in the run's folder that its gang lives, for as long as this pod coordinates."""

import logging
import threading
from collections.abc import Callable
from contextlib import suppress

from trainer.errors import TransientError
from trainer.gang.leading.holder import BEAT_SECONDS, Holder, remove_holder, write_holder
from trainer.storage import Store

log = logging.getLogger("trainer.line")

_CLOSE_SECONDS = 3.0
"""The end of a pod does not wait longer for the store."""


class Heartbeat:
    """A thread that writes at once when this pod has begun to coordinate, and then every BEAT_SECONDS.

    Args:
        coordinates: whether this pod coordinates a gang that has formed.
    """

    def __init__(self, store: Store, holder: Holder, coordinates: Callable[[], bool]) -> None:
        self._store, self._holder, self._coordinates = store, holder, coordinates
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends the thread, which removes what it wrote if this pod coordinates to the end."""
        self._closed.set()
        self._thread.join(timeout=_CLOSE_SECONDS)

    def _run(self) -> None:
        trouble = ""
        while not self._closed.wait(1.0):
            if not self._coordinates():
                continue
            try:
                write_holder(self._store, self._holder)
                trouble = ""
            except (OSError, TransientError) as error:  # the tokens alone decide who may write
                if str(error) != trouble:
                    trouble = str(error)
                    log.warning("cannot note in the run's folder that it is being trained: %s", error)
            self._closed.wait(BEAT_SECONDS - 1.0)
        if self._coordinates():
            with suppress(OSError, TransientError):
                remove_holder(self._store)
