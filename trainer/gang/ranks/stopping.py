"""Why ranks have to stop, and how long they may still run: pure."""

from collections.abc import Collection, Container, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto

from trainer.distribution.rank_status import BEFORE_MEETING, Phase
from trainer.errors import EXIT_FINISHED, EXIT_INTERRUPTED, EXIT_INVALID
from trainer.gang.ranks.stall import RankHistory

BROKEN_GRACE = 3.0
"""Seconds from SIGTERM to SIGKILL if the exchange is broken: nothing is left to agree on."""
FINISH_GRACE = 120.0
"""Seconds for the last rank to exit 0 after the first: the run is saved by then."""
LATE_GRACE = 0.5
"""Seconds for a rank that holds up the others to write its stacks."""
_WAITING = (Phase.HOLDING, *BEFORE_MEETING)
"""The phases in which a rank can be given another place."""


class StopReason(Enum):
    """Why ranks have to stop."""

    FINISHED = auto()
    """Another rank exited 0."""
    REQUESTED = auto()
    """They agree on a step, which the chief saves."""
    BROKEN = auto()
    """The exchange is broken: the chief saves what is finished, the others have nothing to do."""
    INVALID = auto()
    """The run has failed permanently."""
    IMMEDIATELY = auto()


def stop_reasons(
    exit_codes: Collection[int], *, requested: bool, broken: bool, invalid: bool, immediately: bool
) -> Iterator[StopReason]:
    """The reasons why this pod's ranks have to stop now.

    Args:
        exit_codes: the codes of the ranks that have ended.
        requested: a signal or the gang asks for a graceful stop.
        broken: the gang reports that the exchange is broken.
        invalid: the gang exits with 64.
        immediately: the user does not want to wait.
    """
    codes = set(exit_codes)
    if immediately:
        yield StopReason.IMMEDIATELY
    if invalid or EXIT_INVALID in codes:
        yield StopReason.INVALID
    if broken or codes - {EXIT_FINISHED, EXIT_INTERRUPTED}:
        yield StopReason.BROKEN
    if requested or EXIT_INTERRUPTED in codes:
        yield StopReason.REQUESTED
    if codes:
        yield StopReason.FINISHED


@dataclass(frozen=True)
class Deadlines:
    """How long ranks that have to stop may run.

    Attributes:
        grace: seconds to agree and to save.
        gloo_timeout: seconds until a rank notices a broken exchange.
        in_place: whether ranks keep their state for the next generation when it breaks.
    """

    grace: float
    gloo_timeout: float
    in_place: bool = False

    def overdue(
        self,
        ranks: Mapping[int, RankHistory],
        reasons: Mapping[StopReason, float],
        now: float,
        late: Container[int] = (),
        frozen: Container[int] = (),
    ) -> set[int]:
        """The ranks whose time is over.

        Args:
            reasons: each reason to stop, and since when it applies.
            late: the ranks that hold up the others, if this is the reason.
            frozen: the ranks that a signal has stopped: they have nothing to keep.
        """
        return {
            rank
            for rank, history in ranks.items()
            if any(
                now >= self._end(reason, since, history, holds=self._holds(rank, ranks, frozen))
                for reason, since in reasons.items()
            )
            or (rank in late and now >= reasons.get(StopReason.BROKEN, now) + LATE_GRACE)
        }

    def _holds(self, rank: int, ranks: Container[int], frozen: Container[int]) -> bool:
        """Whether a state may be this rank's alone: the chief's, and without it or in place every rank's."""
        if self.in_place:
            return rank not in frozen
        return rank == 0 or 0 not in ranks

    def _end(self, reason: StopReason, since: float, history: RankHistory, *, holds: bool) -> float:
        if reason is StopReason.FINISHED:
            return since + FINISH_GRACE
        if reason is StopReason.REQUESTED:
            return since + self.grace
        if reason is StopReason.BROKEN and self.in_place and history.status.phase in _WAITING:
            return float("inf")
        if reason is StopReason.BROKEN and holds:
            saving = history.status.phase is Phase.SAVING
            notice = self.gloo_timeout + BROKEN_GRACE + history.usual()
            return max(since, history.since) + (self.grace if saving else notice)
        return since + (0.0 if reason is StopReason.IMMEDIATELY else BROKEN_GRACE)
