"""The progress and the phase of a rank: the rank reports them, its supervisor reads them.

The channel is a small anonymous file that the rank inherits. The newest record overwrites the last one, so a
report never blocks, and the supervisor needs nothing from the rank.
"""

import json
import os
import time
from dataclasses import asdict, dataclass, replace
from enum import StrEnum

from trainer.distribution.rank_variables import STATUS_FD

_SIZE = 256


class Phase(StrEnum):
    """What a rank is doing, as the log shows it."""

    STARTING = "starting"
    PARKED = "waiting to replace a lost rank"
    LOADING = "loading"
    MEETING = "waiting for the other ranks"
    JOINING = "receiving the state"
    PREPARING = "preparing its first step"
    LEAVING = "leaving its generation"
    HOLDING = "holding its state for the next generation"
    READING = "reading images"
    TRAINING = "in a training step"
    CALLBACKS = "in the callbacks of a step"
    EVALUATING = "evaluating"
    PUBLISHING = "in the callbacks of an epoch or publishing"
    SAVING = "saving a checkpoint"


BEFORE_MEETING = (Phase.STARTING, Phase.PARKED, Phase.LOADING)
"""The phases of a process that has not met the other ranks yet."""


@dataclass(frozen=True)
class RankStatus:
    """
    Attributes:
        step: the last finished step, -1 before the first.
        time: seconds of the monotonic clock.
        worked: seconds of this rank's own part of its steps, reading and computing, without what it waits for
            other ranks.
        timed: how many steps `worked` is of.
        rows: how many rows, padding included, this rank has of each step; 0 before the first.
    """

    step: int = -1
    time: float = 0.0
    phase: Phase = Phase.STARTING
    worked: float = 0.0
    timed: int = 0
    rows: int = 0


_mine = RankStatus()
_step_began: float | None = None


def report_step(step: int, exchange_began: float | None = None) -> None:
    """Report the last finished step to the supervisor of this rank; does nothing without a supervisor.

    Takes microseconds: call it after each step.

    Args:
        step: its number.
        exchange_began: when this rank had done its own part of it, in seconds since the epoch; None if that
            is not known.
    """
    global _step_began
    status = replace(_mine, step=step, phase=Phase.CALLBACKS)
    if exchange_began is not None and _step_began is not None:
        worked = max(0.0, exchange_began - _step_began)
        status = replace(status, worked=status.worked + worked, timed=status.timed + 1)
    _step_began = None
    _report(status)


def report_phase(phase: Phase) -> None:
    """Report the current phase to the supervisor of this rank; the same phase again counts as progress.

    READING begins a step.
    """
    global _step_began
    _report(replace(_mine, phase=phase))
    if phase is Phase.READING:
        _step_began = time.time()


def report_batch(rows: int, phase: Phase = Phase.TRAINING) -> None:
    """Report that a batch of this many rows was read, and a training step begins in `phase`."""
    _report(replace(_mine, phase=phase, rows=rows))


def _report(status: RankStatus) -> None:
    global _mine
    fd = os.environ.get(STATUS_FD)
    if fd is not None:
        _mine = replace(status, time=time.monotonic())
        os.pwrite(int(fd), json.dumps(asdict(_mine)).encode().ljust(_SIZE), 0)


class StatusChannel:
    """The supervisor's end. The rank inherits `fd`."""

    def __init__(self) -> None:
        self.fd = os.memfd_create("rank-status")
        self._last = RankStatus()

    def read(self) -> RankStatus:
        """The newest whole record; a record that is being written is skipped."""
        record = os.pread(self.fd, _SIZE, 0)
        if record:
            try:
                values = json.loads(record)
                self._last = RankStatus(**{**values, "phase": Phase(values["phase"])})
            except (ValueError, TypeError, KeyError):
                return self._last
        return self._last

    def close(self) -> None:
        os.close(self.fd)
