"""Logs which store is waited for: after 5 s of silence, then less and less often, and its next answer."""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from trainer.storage.retry import RetryBudget

log = logging.getLogger(__name__)

SILENT_SECONDS = 5.0
LONGEST_PAUSE = 60.0


class _Watch:
    """The requests under way in this process, and a thread that looks at them while there are any."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._under_way: list[RetryBudget] = []
        self._some = threading.Event()
        self._logged: dict[str, float] = {}
        """The stores that the log names as waited for, and since when."""
        self._thread: threading.Thread | None = None

    @contextmanager
    def over(self, patience: RetryBudget) -> Iterator[None]:
        with self._lock:
            self._under_way.append(patience)
            self._some.set()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="store-stalls", daemon=True)
                self._thread.start()
        try:
            yield
            self._answered(patience)
        finally:
            with self._lock:
                self._under_way.remove(patience)

    def _answered(self, patience: RetryBudget) -> None:
        with self._lock:
            since = self._logged.pop(_store(patience), None)
        if since is not None:
            log.info("%s answers again after %.0f s", _store(patience), time.monotonic() - since)

    def _run(self) -> None:
        pause, next_line = SILENT_SECONDS, 0.0
        while True:
            self._some.wait()
            time.sleep(SILENT_SECONDS / 10)
            now = time.monotonic()
            with self._lock:
                stalled = [p for p in self._under_way if now - p.silent_since >= SILENT_SECONDS]
                if not self._under_way:
                    self._some.clear()
                if stalled and now >= next_line:
                    for patience in stalled:
                        self._logged.setdefault(_store(patience), patience.silent_since)
            if not stalled:
                pause, next_line = SILENT_SECONDS, 0.0
            elif now >= next_line:
                log.warning("%s", _line(stalled, now))
                next_line, pause = now + pause, min(2 * pause, LONGEST_PAUSE)


def _store(patience: RetryBudget) -> str:
    """The bucket of an object's URL."""
    return "/".join(patience.url.split("/")[:3])


def _line(stalled: list[RetryBudget], now: float) -> str:
    longest = min(stalled, key=lambda patience: patience.silent_since)
    others = f" and {len(stalled) - 1} more requests" if len(stalled) > 1 else ""
    silent = f"{now - longest.silent_since:.0f} s"
    state = f"no answer for {silent}"
    if longest.failures:
        attempts = "attempt" if longest.failures == 1 else "attempts"
        state = f"{longest.failures} failed {attempts} in {silent}, the last: {longest.last_failure}"
    return f"waiting for {longest.url}{others}: {state}; the limit is {longest.seconds:g} s"


watch_stalls = _Watch().over
"""A context around one operation: `with waiting_for(patience): …`."""
