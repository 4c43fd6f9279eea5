"""Retries of requests to a store that is busy or unreachable: jittered backoff within a budget of seconds."""

import math
import os
import random
import time
from collections.abc import Callable

from trainer.errors import ConfigError

OnRetry = Callable[[str], None]
"""Called with the cause of every retry, from the thread that retries. Causes are few: `throttled`,
`server_error`, `timeout`, `connection`, `short_body`, `expired_token`, `credentials`, `conflict`."""

FIRST_CONTACT_SECONDS = 5.0
"""How long a server that has never answered is tried: most likely its address is wrong."""

BASE_SECONDS = 0.1
CAP_SECONDS = 10.0


def retry_seconds() -> float:
    """The budget of one operation: TRAINER_RETRY_SECONDS, or 60. Raises ConfigError for an invalid one."""
    text = os.environ.get("TRAINER_RETRY_SECONDS", "60")
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise ConfigError(f"expected seconds in TRAINER_RETRY_SECONDS, received {text!r}")
    return seconds


class RetryBudget:
    """The retries of one operation on one object.

    The budget counts from the last progress, so a transfer may take long; a second attempt is always made.
    Backoff is "full jitter": uniform in [0, min(cap, base 2^n)]
    (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).

    Attributes:
        silent_since: when the operation began or last made progress, by the monotonic clock.
        failures: attempts that failed since then, the last one with the text `last_failure`.
    """

    def __init__(self, url: str, seconds: float, on_retry: OnRetry | None = None) -> None:
        self.url = url
        self.seconds = seconds
        self.causes: set[str] = set()
        self.silent_since = time.monotonic()
        self.failures = 0
        self.last_failure = ""
        self._on_retry = on_retry
        self._started = self.silent_since

    def progressed(self) -> None:
        self.silent_since = time.monotonic()
        self.failures = 0

    def again(self, cause: str) -> None:
        """Note one retry that needs no waiting."""
        self.causes.add(cause)
        if self._on_retry:
            self._on_retry(cause)

    def wait(self, cause: str, text: str, *, first_contact: bool = False) -> None:
        """Sleep before the next attempt, or raise TimeoutError when the budget is spent."""
        now = time.monotonic()
        self.failures += 1
        self.last_failure = text
        deadline = self.silent_since + self.seconds
        if first_contact:
            deadline = min(deadline, self._started + FIRST_CONTACT_SECONDS)
        if now >= deadline and (first_contact or self.failures > 1):
            raise TimeoutError(f"{self.url}: gave up after {now - self._started:.1f} s: {text}")
        self.again(cause)
        ceiling: float = min(CAP_SECONDS, BASE_SECONDS * 2 ** min(self.failures, 10))
        time.sleep(max(0.0, min(deadline - now, random.uniform(0, ceiling))))
