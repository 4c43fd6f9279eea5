"""How long ranks that are to stop may still run: pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto

from trainer.distribution.rank_status import Phase
from trainer.gang.ranks.stall import Pace

BROKEN_GRACE = 3.0
"""Seconds from SIGTERM to SIGKILL where the exchange is broken: nothing is left to agree on."""
FINISH_GRACE = 120.0
"""Seconds for the last rank to exit 0 after the first: the run is saved by then."""


class Why(Enum):
    """Why ranks are to stop."""

    FINISHED = auto()
    """Another one exited 0."""
    AGREED = auto()
    """They were asked to, and agree on a step, which the chief saves."""
    BROKEN = auto()
    """The exchange is broken: the chief saves what is finished, the others have nothing to do."""
    INVALID = auto()
    """The run has failed for good."""
    AT_ONCE = auto()


@dataclass(frozen=True)
class Patience:
    """Seconds. `grace`: to agree and to save; `gloo_timeout`: until a rank notices a broken exchange."""

    grace: float
    gloo_timeout: float

    def overdue(self, ranks: Mapping[int, Pace], why: Mapping[Why, float], now: float) -> set[int]:
        """The ranks whose time is over; `why`: each reason to stop, and since when it has been one."""
        return {
            rank
            for rank, pace in ranks.items()
            if any(now >= self._end(reason, since, rank, pace) for reason, since in why.items())
        }

    def _end(self, why: Why, since: float, rank: int, pace: Pace) -> float:
        if why is Why.FINISHED:
            return since + FINISH_GRACE
        if why is Why.AGREED:
            return since + self.grace
        if why is Why.BROKEN and rank == 0:
            saving = pace.status.phase is Phase.SAVING
            notice = self.gloo_timeout + BROKEN_GRACE + pace.usual()
            return max(since, pace.since) + (self.grace if saving else notice)
        return since + (0.0 if why is Why.AT_ONCE else BROKEN_GRACE)
