"""How far a rank is: the rank reports it, its supervisor reads it.

The channel is a small anonymous file that the rank inherits. The newest record overwrites the last one, so a
report never blocks, and the supervisor needs nothing from the rank.
"""

import json
import os
import time
from dataclasses import asdict, dataclass

from trainer.distribution.environment import STATUS_FD

_SIZE = 64


@dataclass(frozen=True)
class RankStatus:
    """`step`: the last finished step, -1 before the first; `time`: seconds since the epoch."""

    step: int = -1
    time: float = 0.0


def report_step(step: int) -> None:
    """Tell the supervisor of this rank the last finished step; without a supervisor, nothing happens.

    Takes microseconds: call it after each step.
    """
    fd = os.environ.get(STATUS_FD)
    if fd is not None:
        record = json.dumps(asdict(RankStatus(step, time.time())))
        os.pwrite(int(fd), record.encode().ljust(_SIZE), 0)


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
