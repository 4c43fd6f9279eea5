"""Which ranks hold the others up: pure, from what the ranks of one pod report."""

from collections.abc import Mapping
from dataclasses import dataclass

from trainer.distribution.rank_status import Phase, RankStatus

_LONGER = 3.0
"""Times the longest pause between two reports: what is still no stall."""
_KILLED_AFTER = 1.2
"""Times the limit, from which on late ranks are killed."""
_CHIEF_KILLED_AFTER = 2.0
"""The same, where the chief is all that is left to kill: a rank of another pod may be the late one."""


@dataclass(frozen=True)
class Stall:
    """No rank of this pod made progress for `seconds`.

    `late` hold the others up, and `kill` says whether it is time to kill them.
    """

    seconds: float
    limit: float
    late: tuple[int, ...]
    kill: bool


class StallWatch:
    """Looks at the reports of one generation's ranks.

    Args:
        timeout: seconds without progress that are a stall, if no pause before was about as long. Before the
            first step three times as many: a network is built and compiled, a checkpoint is read.
        now: of a monotonic clock, as everywhere here.
    """

    def __init__(self, timeout: float, now: float) -> None:
        self._timeout = timeout
        self._moved = now
        self._longest = 0.0
        self._reports: dict[int, int] = {}
        self._asked: float | None = None

    def look(
        self,
        statuses: Mapping[int, RankStatus],
        stopped: frozenset[int],
        now: float,
        grace: float | None = None,
    ) -> Stall | None:
        """A stall, if there is one.

        Args:
            statuses: of the ranks that live.
            stopped: the ranks whose process is suspended (SIGSTOP).
            grace: seconds that the ranks were given to stop, None while they may run. A third of it without
                progress is a stall then, so that the rest can save.
        """
        if not statuses:
            return None
        reports = {rank: status.reports for rank, status in statuses.items()}
        trained = any(status.step >= 0 for status in statuses.values())
        if reports != self._reports:
            if trained and self._reports and now - self._moved <= self._limit(trained):
                self._longest = max(self._longest, now - self._moved)
            self._reports, self._moved = reports, now
        limit, since = self._limit(trained), self._moved
        if grace is not None:
            self._asked = now if self._asked is None else self._asked
            limit = min(limit, max(grace / 3, 2 * self._longest))
            since = max(since, self._asked)
        seconds = now - since
        if seconds < limit:
            return None
        late = late_ranks(statuses, stopped)
        wait = _CHIEF_KILLED_AFTER if statuses.keys() == {0} and not stopped else _KILLED_AFTER
        return Stall(seconds, limit, late, grace is not None or seconds >= wait * limit)

    def _limit(self, trained: bool) -> float:
        return max(self._timeout, _LONGER * self._longest) if trained else 3 * self._timeout


def late_ranks(statuses: Mapping[int, RankStatus], stopped: frozenset[int]) -> tuple[int, ...]:
    """The ranks that are suspended; else those with fewer reports than others; else all but the chief.

    None while a rank saves: the others wait for it, and it for the store.
    """
    if stopped & statuses.keys():
        return tuple(sorted(stopped & statuses.keys()))
    if any(status.phase == Phase.SAVING for status in statuses.values()):
        return ()
    furthest = max(status.reports for status in statuses.values())
    behind = tuple(sorted(rank for rank, status in statuses.items() if status.reports < furthest))
    return behind or tuple(sorted(statuses.keys() - {0})) or (0,)
