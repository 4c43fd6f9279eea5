"""A remote value for a caller that must not wait."""

import logging
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from trainer.errors import ConfigError

log = logging.getLogger("trainer.supervisor")

T = TypeVar("T")


class Polled(Generic[T]):
    """A call returns the last value at once; when it is `every` seconds old, a thread `read`s it again.

    While `read` fails, the last value stays. The log names it by its `description`, once for each reason.
    """

    def __init__(self, read: Callable[[], T], first: T, *, every: float, description: str) -> None:
        self._read, self._every, self._description = read, every, description
        self._value = first
        self._last_read = float("-inf")
        self._thread: threading.Thread | None = None
        self._trouble = ""

    def __call__(self) -> T:
        now = time.monotonic()
        if now - self._last_read >= self._every and not (self._thread and self._thread.is_alive()):
            self._last_read = now
            self._thread = threading.Thread(target=self._refresh, name=self._description, daemon=True)
            self._thread.start()
        return self._value

    def _refresh(self) -> None:
        try:
            self._value = self._read()
            self._trouble = ""
        except Exception as error:
            refused = isinstance(error, ConfigError)
            trouble = str(error) if refused else f"cannot be read ({type(error).__name__}: {error})"
            if trouble != self._trouble:
                log.warning("%s stays %s: %s", self._description, self._value, trouble)
            self._trouble = trouble
