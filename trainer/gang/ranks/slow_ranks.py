"""The coordinator's look at the pace of the ranks: it logs who is slow, and who is no longer."""

import logging

from trainer.gang.members import Gang, MemberState
from trainer.gang.ranks.pace import SLOW_AFTER_SECONDS, named, paces, slow_since

log = logging.getLogger("trainer.coordinator")

_INTERVAL_SECONDS = 5.0


class SlowRanks:
    """
    Attributes:
        ranks: the slow ranks, in order.
    """

    def __init__(self) -> None:
        self.ranks: tuple[int, ...] = ()
        self._since: dict[int, float] = {}
        self._generation = ""
        self._next = 0.0

    def observe(self, gang: Gang, now: float) -> None:
        """Looks at the ranks' reports, every few seconds. A generation's ranks are compared with each
        other only."""
        if gang.generation and gang.generation.id != self._generation:
            self.ranks, self._since, self._generation = (), {}, gang.generation.id
        if now < self._next or gang.generation is None or gang.ending:
            return
        self._next = now + _INTERVAL_SECONDS
        running = [member for member in gang.members.values() if member.state is MemberState.RUNNING]
        where = {rank.rank: (member, rank) for member in running for rank in member.progress}
        ranks = [rank for _, rank in where.values()]
        scores = paces({rank.rank: rank.work for rank in ranks}, {rank.rank: rank.rows for rank in ranks})
        self._since = slow_since(self._since, scores, now)
        slow = named(self._since, now)
        for rank in slow:
            if rank not in self.ranks:
                member, progress = where[rank]
                node = f" on node {member.node}" if member.node else ""
                log.warning(
                    "rank %d (pod %d%s) is slow: for %.0f minutes its pace has been below that of the median "
                    "rank; it is %.2f of it now, %.3f s for its own part of a step",
                    *(rank, member.index, node, SLOW_AFTER_SECONDS / 60, scores[rank], progress.work),
                )
        for rank in set(self.ranks) - set(slow):
            log.info("rank %d is not slow any more", rank)
        self.ranks = slow
