"""Kills ranks that hold the others up, so that the run goes on from its last checkpoint."""

import logging
import signal
import time
from collections.abc import Mapping, Sequence

from trainer.distribution.environment import STACKS
from trainer.distribution.rank_status import RankStatus
from trainer.gang.ranks.processes import Ranks
from trainer.gang.ranks.stall import StallWatch

log = logging.getLogger("trainer.supervisor")

_STACKS_SECONDS = 1.0
"""Seconds that a late rank has to write its stacks before it is killed."""


class Watchdog:
    """Looks after the ranks of one generation.

    Args:
        timeout: as `StallWatch` takes it; None for never.
    """

    def __init__(self, timeout: float | None) -> None:
        self._watch = None if timeout is None else StallWatch(timeout, time.monotonic())
        self._said: float | None = None
        self._killed = False

    def look(self, ranks: Ranks, grace: float | None) -> float:
        """Says what there is to say, and kills whom there is to kill -> seconds of a stall, 0 without one.

        `grace`: seconds that the ranks were given to stop, None while they may run.
        """
        if self._watch is None or self._killed:
            return 0.0
        now = time.monotonic()
        alive = ranks.pids
        statuses = {rank: status for rank, status in ranks.statuses().items() if rank in alive}
        suspended = ranks.suspended()
        stall = self._watch.look(statuses, suspended, now, grace)
        if stall is None:
            if self._said is not None:
                log.info("the ranks make progress again")
                self._said = None
            return 0.0
        if self._said is None:
            self._said = now
            late = _described(stall.late, statuses, suspended)
            log.warning("no progress for %.0f s: %s", stall.seconds, late)
            ranks.signal(stall.late, STACKS)
        elif stall.kill and stall.late and now - self._said >= _STACKS_SECONDS:
            log.warning("killing %s after %.0f s without progress", _numbered(stall.late), stall.seconds)
            ranks.signal(stall.late, signal.SIGKILL)
            self._killed = True
        return stall.seconds


def _described(late: Sequence[int], statuses: Mapping[int, RankStatus], suspended: frozenset[int]) -> str:
    """What each of the late ranks does."""
    if not late:
        return "a rank saves, and the others wait for it"
    said = []
    for rank in late:
        status = statuses[rank]
        doing = "suspended (SIGSTOP)" if rank in suspended else status.phase
        said.append(f"rank {rank} is {doing}" + (f", after step {status.step}" if status.step >= 0 else ""))
    return "; ".join(said)


def _numbered(ranks: Sequence[int]) -> str:
    return f"rank{'' if len(ranks) == 1 else 's'} {', '.join(map(str, ranks))}"
