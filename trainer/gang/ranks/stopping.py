"""How long ranks that are to stop may still run: pure."""

from collections.abc import Container, Mapping
from dataclasses import dataclass
from enum import Enum, auto

from trainer.distribution.rank_status import Phase
from trainer.gang.ranks.stall import RankHistory

BROKEN_GRACE = 3.0
"""Seconds from SIGTERM to SIGKILL where the exchange is broken: nothing is left to agree on."""
FINISH_GRACE = 120.0
"""Seconds for the last rank to exit 0 after the first: the run is saved by then."""
LATE_GRACE = 0.5
"""Seconds for a rank that holds up the others to write its stacks."""


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
class Deadlines:
    """Until when ranks that are to stop may run.

    Attributes:
        grace: seconds to agree and to save.
        gloo_timeout: seconds until a rank notices a broken exchange.
    """

    grace: float
    gloo_timeout: float

    def overdue(
        self,
        ranks: Mapping[int, RankHistory],
        why: Mapping[Why, float],
        now: float,
        late: Container[int] = (),
    ) -> set[int]:
        """The ranks whose time is over.

        Args:
            why: each reason to stop, and since when it has been one.
            late: the ranks that hold up the others, where this is the reason.
        """
        return {
            rank
            for rank, pace in ranks.items()
            if any(now >= self._end(reason, since, rank, pace) for reason, since in why.items())
            or (rank in late and now >= why.get(Why.BROKEN, now) + LATE_GRACE)
        }

    def _end(self, why: Why, since: float, rank: int, pace: RankHistory) -> float:
        if why is Why.FINISHED:
            return since + FINISH_GRACE
        if why is Why.AGREED:
            return since + self.grace
        if why is Why.BROKEN and rank == 0:
            saving = pace.status.phase is Phase.SAVING
            notice = self.gloo_timeout + BROKEN_GRACE + pace.usual()
            return max(since, pace.since) + (self.grace if saving else notice)
        return since + (0.0 if why is Why.AT_ONCE else BROKEN_GRACE)
