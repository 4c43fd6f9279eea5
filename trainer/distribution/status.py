"""How far a rank is: a rank reports it, its supervisor reads it.

The channel is a small anonymous file that the rank inherits (its number in TRAINER_STATUS_FD). The newest
record overwrites the last one, so a report never blocks, and the supervisor needs nothing from the rank.
"""

import json
import os
import time
from dataclasses import asdict, dataclass, replace

STATUS_FD = "TRAINER_STATUS_FD"
_SIZE = 256


@dataclass(frozen=True)
class Status:
    """`step`: the last finished step, -1 before the first; `time`: seconds since the epoch."""

    step: int = -1
    phase: str = "starting"
    time: float = 0.0


_last = Status()


def report(*, step: int | None = None, phase: str | None = None) -> None:
    """Tell the supervisor of this rank; without one, nothing happens. Takes microseconds: call it each step.

    Args:
        step: the last finished step; default as reported before.
        phase: one word for people (`restoring`, `training`, `saving`); default as reported before.
    """
    global _last
    fd = os.environ.get(STATUS_FD)
    if fd is None:
        return
    _last = replace(
        _last,
        step=_last.step if step is None else step,
        phase=(_last.phase if phase is None else phase)[:64],
        time=time.time(),
    )
    os.pwrite(int(fd), json.dumps(asdict(_last)).encode().ljust(_SIZE), 0)


class Channel:
    """The supervisor's end. `fd` is to be inherited by the rank."""

    def __init__(self) -> None:
        self.fd = os.memfd_create("rank-status")
        self._seen = Status()

    def read(self) -> Status:
        """The newest whole record (one torn by a write under way is skipped)."""
        record = os.pread(self.fd, _SIZE, 0)
        if record:
            try:
                self._seen = Status(**json.loads(record))
            except (ValueError, TypeError):
                return self._seen
        return self._seen

    def close(self) -> None:
        os.close(self.fd)
