"""How far a rank is: the rank reports it, its supervisor reads it.

The channel is a small anonymous file that the rank inherits. The newest record overwrites the last one, so a
report never blocks, and the supervisor needs nothing from the rank.
"""

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from enum import StrEnum

from trainer.distribution.environment import STATUS_FD

_SIZE = 128


class Phase(StrEnum):
    """What a rank does now."""

    STARTING = "starting"
    READING = "reading data"
    TRAINING = "in a step"
    EVALUATING = "evaluating"
    SAVING = "saving"
    """It may take as long as the store takes, and the other ranks wait for the chief."""


@dataclass(frozen=True)
class RankStatus:
    """`step`: the last finished step, -1 before the first; `time`: of the report, in seconds since the epoch.

    `reports` counts them. All ranks report the same phases in the same order: one that has fewer is behind.
    """

    step: int = -1
    time: float = 0.0
    phase: str = Phase.STARTING
    reports: int = 0


_now = RankStatus()


def report(phase: Phase, step: int | None = None) -> None:
    """Tell the supervisor of this rank what it does now, and the last finished step where there is a new one.

    Without a supervisor nothing happens. Takes microseconds.
    """
    global _now
    fd = os.environ.get(STATUS_FD)
    if fd is not None:
        _now = RankStatus(_now.step if step is None else step, time.time(), phase, _now.reports + 1)
        os.pwrite(int(fd), json.dumps(asdict(_now)).encode().ljust(_SIZE), 0)


@contextmanager
def doing(phase: Phase) -> Iterator[None]:
    """Reports `phase`, and at the end the phase before it."""
    before = Phase(_now.phase)
    report(phase)
    yield
    report(before)


class StatusChannel:
    """The supervisor's end. The rank inherits `fd`."""

    def __init__(self) -> None:
        self.fd = os.memfd_create("rank-status")
        self._last = RankStatus()

    def read(self) -> RankStatus:
        """The newest whole record (one torn by a write under way is skipped)."""
        record = os.pread(self.fd, _SIZE, 0)
        if record:
            try:
                self._last = RankStatus(**json.loads(record))
            except (ValueError, TypeError):
                return self._last
        return self._last

    def close(self) -> None:
        os.close(self.fd)
