"""Why a rank stops between two steps."""

import threading
import time

from trainer.distribution.places import places

WAIT_SECONDS = 10.0
"""Seconds from an agreed stop until the supervisor knows why another rank asked for it."""


class StopCause:
    """Whether this rank stops after an agreed step: it was asked to, or its generation has ended."""

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop

    def is_set(self) -> bool:
        return self.by_signal or self.generation_ended

    @property
    def by_signal(self) -> bool:
        return self._stop.is_set()

    @property
    def generation_ended(self) -> bool:
        return places().lost()

    def wait_for_the_end(self, timeout: float = WAIT_SECONDS) -> bool:
        """Whether the generation ends, within `timeout` seconds: another rank may be the first to know."""
        deadline = time.monotonic() + timeout
        while not self.generation_ended and not self.by_signal and time.monotonic() < deadline:
            time.sleep(0.02)
        return self.generation_ended and not self.by_signal
