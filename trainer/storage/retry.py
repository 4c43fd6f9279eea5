"""Retries of requests to a store that is busy or unreachable: jittered backoff within a budget of seconds."""

import os
import random
import time
from collections.abc import Callable

from trainer.errors import ConfigError

OnRetry = Callable[[str], None]
"""Called with the cause of every retry, from the thread that retries. Causes are few: `throttled`,
`server_error`, `timeout`, `connection`, `short_body`, `expired_token`, `conflict`."""

FIRST_CONTACT_SECONDS = 5.0
"""How long a server that has never answered is tried: most likely its address is wrong."""

BASE_SECONDS = 0.1
CAP_SECONDS = 10.0


def retry_seconds() -> float:
    """The budget of one operation: TRAINER_RETRY_SECONDS, or 60. ConfigError when that is no number."""
    text = os.environ.get("TRAINER_RETRY_SECONDS", "60")
    try:
        return float(text)
    except ValueError:
        raise ConfigError(f"Expected seconds in TRAINER_RETRY_SECONDS, received {text!r}") from None


class Patience:
    """The retries of one operation on one object.

    The budget counts from the first failure after the last progress, so a transfer that moves on is not given
    up for being long. Backoff is "full jitter": uniform in [0, min(cap, base 2^n)]
    (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).
    """

    def __init__(self, url: str, seconds: float, on_retry: OnRetry | None = None) -> None:
        self.causes: set[str] = set()
        self._url = url
        self._seconds = seconds
        self._on_retry = on_retry
        self._started = time.monotonic()
        self._failing_since: float | None = None
        self._failures = 0

    def progressed(self) -> None:
        self._failing_since = None
        self._failures = 0

    def again(self, cause: str) -> None:
        """Note one retry that needs no waiting."""
        self.causes.add(cause)
        if self._on_retry:
            self._on_retry(cause)

    def wait(self, cause: str, text: str, *, first_contact: bool = False) -> None:
        """Sleep before the next attempt, or raise TimeoutError when the budget is spent."""
        now = time.monotonic()
        self._failing_since = self._failing_since or now
        self._failures += 1
        deadline = self._failing_since + self._seconds
        if first_contact:
            deadline = min(deadline, self._started + FIRST_CONTACT_SECONDS)
        if now >= deadline:
            raise TimeoutError(f"{self._url}: gave up after {now - self._started:.1f} s: {text}")
        self.again(cause)
        ceiling: float = min(CAP_SECONDS, BASE_SECONDS * 2 ** min(self._failures, 10))
        time.sleep(min(deadline - now, random.uniform(0, ceiling)))
