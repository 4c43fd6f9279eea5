"""The processes of a pod that wait to replace a lost rank."""

import logging
import math
import signal
import time
from collections.abc import Callable, Iterator, Mapping

from trainer.distribution.rank_status import Phase
from trainer.distribution.rank_variables import PARKED
from trainer.gang.ranks.rank_process import Rank

log = logging.getLogger("trainer.supervisor")

AGAIN_SECONDS = 10.0
"""Seconds after which such a process that has ended is started again."""
_LINES = 10
"""Lines of its output that are logged when it ends."""


class Spares:
    """Starts them, takes one, and notes which of them have ended.

    Args:
        start: starts a process with this environment.
        forget: ends it, and frees what belongs to it.
    """

    def __init__(self, start: Callable[[Mapping[str, str]], Rank], forget: Callable[[Rank], None]) -> None:
        self._start, self._forget = start, forget
        self._waiting: list[Rank] = []
        self._ended = -math.inf

    def __iter__(self) -> Iterator[Rank]:
        return iter(self._waiting)

    @property
    def parked(self) -> int:
        """How many have loaded what takes long."""
        return sum(spare.status.read().phase is Phase.PARKED for spare in self._waiting)

    def park(self, count: int, environment: Mapping[str, str]) -> None:
        """Starts processes, up to `count`; none for a while after one has ended."""
        if time.monotonic() - self._ended < AGAIN_SECONDS:
            return
        try:
            while len(self._waiting) < count:
                self._waiting.append(self._start({**environment, PARKED: "1"}))
        except OSError as error:  # the ranks train on
            log.warning("a process that is to replace lost ranks could not be started: %s", error)
            self._ended = time.monotonic()

    def take(self) -> Rank | None:
        """One that waits, from now on a rank; None without one. Those that are ready come first."""
        self._waiting.sort(key=lambda spare: spare.status.read().phase is not Phase.PARKED)
        return self._waiting.pop(0) if self._waiting else None

    def watch(self) -> None:
        """Logs which of them have ended."""
        for spare in list(self._waiting):
            code = spare.poll()
            if code is None:
                continue
            self._waiting.remove(spare)
            self._ended = time.monotonic()
            how = f"exited with code {code}" if code >= 0 else f"was killed by {signal.Signals(-code).name}"
            log.warning("a process that waits to replace lost ranks %s; another one follows", how)
            spare.read()
            for line in spare.tail(_LINES):
                log.warning("waiting process | %s", line)
            self._forget(spare)

    def close(self) -> None:
        """Ends them."""
        for spare in self._waiting:
            self._forget(spare)
        self._waiting.clear()
