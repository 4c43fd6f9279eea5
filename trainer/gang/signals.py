"""The signals that stop a supervisor."""

import signal
from types import FrameType
from typing import Any

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
