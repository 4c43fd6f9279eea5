"""The signals that stop a supervisor."""

import logging
import signal
from types import FrameType
from typing import Any

log = logging.getLogger("trainer.supervisor")

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class StopSignals:
    """Records the signals between `__enter__` and `__exit__`. Use it in the main thread.

    Attributes:
        received: the first signal, None before it.
        immediately: whether a later SIGINT, a second Ctrl-C, asks not to wait.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self.immediately = False
        self._logged = False
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "StopSignals":
        self._previous = {number: signal.signal(number, self._handle) for number in SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _handle(self, number: int, _: FrameType | None) -> None:
        self.immediately |= self.received is not None and number == signal.SIGINT
        self.received = self.received or signal.Signals(number)

    def log_once(self, what: str) -> None:
        """Logs the first signal, when it has arrived: `what` stops, and how to stop at once."""
        if self.received is None or self._logged:
            return
        self._logged = True
        if self.received is signal.SIGINT:
            log.info("stopping %s; press Ctrl-C again to stop at once", what)
        else:
            log.info("%s: stopping %s", self.received.name, what)
