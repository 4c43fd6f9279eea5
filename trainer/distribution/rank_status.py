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

_SIZE = 128


class Phase(StrEnum):
    """What a rank is doing, as the log shows it."""

    STARTING = "starting"
    PARKED = "waiting to replace a lost rank"
    LOADING = "loading"
    MEETING = "waiting for the other ranks"
    JOINING = "receiving the state"
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
    """`step`: the last finished step, -1 before the first; `time`: seconds of the monotonic clock."""

    step: int = -1
    time: float = 0.0
    phase: Phase = Phase.STARTING


_mine = RankStatus()


def report_step(step: int) -> None:
    """Report the last finished step to the supervisor of this rank; does nothing without a supervisor.

    Takes microseconds: call it after each step.
    """
    _report(replace(_mine, step=step, phase=Phase.CALLBACKS))


def report_phase(phase: Phase) -> None:
    """Report the current phase to the supervisor of this rank; the same phase again counts as progress."""
    _report(replace(_mine, phase=phase))


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
                self._last = RankStatus(values["step"], values["time"], Phase(values["phase"]))
            except (ValueError, TypeError, KeyError):
                return self._last
        return self._last

    def close(self) -> None:
        os.close(self.fd)
