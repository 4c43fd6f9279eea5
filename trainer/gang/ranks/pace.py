"""How long the own part of a step takes each rank, and which ranks are slower than the others: pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median_low

from trainer.distribution.rank_status import RankStatus

WINDOW_SECONDS = 60.0
SLOW_PACE = 0.75
"""A rank with less than this part of the median's pace is slow."""
SLOW_AFTER_SECONDS = 600.0
"""Seconds for which a rank has to be slow without interruption until it is named."""


@dataclass(frozen=True)
class WorkMeter:
    """
    Attributes:
        since: when the current window began, in seconds of the monotonic clock; 0 before the first step.
        worked, timed: as in `RankStatus`, at that time.
        seconds: the rank's own work in a step, as the mean of the last whole window; 0 before that.
    """

    since: float
    worked: float = 0.0
    timed: int = 0
    seconds: float = 0.0

    def after(self, status: RankStatus, now: float) -> "WorkMeter":
        """The meter with a status that was read now."""
        steps = status.timed - self.timed
        if steps and not self.since:  # the first step is compiled
            return WorkMeter(now, status.worked, status.timed)
        if now - self.since < WINDOW_SECONDS or not steps:
            return self
        return WorkMeter(now, status.worked, status.timed, (status.worked - self.worked) / steps)


NO_WORK = WorkMeter(0.0)


def paces(seconds: Mapping[int, float], rows: Mapping[int, int]) -> dict[int, float]:
    """The pace of each rank against the median rank: 1 is as fast, 0.5 takes twice as long.

    Ranks are compared with those that have as many rows of a step. Of an even number of them the faster one
    in the middle counts: of two ranks, one may be slow.

    Args:
        seconds: the own work in a step by rank; ranks with 0 are not known yet, and left out.
        rows: the rows of each step by rank.
    """
    alike: dict[int, dict[int, float]] = {}
    for rank, time in seconds.items():
        if time > 0:
            alike.setdefault(rows[rank], {})[rank] = time
    return {
        rank: median_low(known.values()) / time
        for known in alike.values()
        if len(known) > 1
        for rank, time in known.items()
    }


def slow_since(before: Mapping[int, float], paces: Mapping[int, float], now: float) -> dict[int, float]:
    """Since when each slow rank has been slow. `before`: the same at the last look."""
    return {rank: before.get(rank, now) for rank, pace in paces.items() if pace < SLOW_PACE}


def named(since: Mapping[int, float], now: float) -> tuple[int, ...]:
    """The ranks that have been slow for so long that they are named."""
    return tuple(sorted(rank for rank, began in since.items() if now - began >= SLOW_AFTER_SECONDS))
