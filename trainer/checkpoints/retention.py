"""Which checkpoints stay, and the removal of those that do not."""

import logging
import time
from collections.abc import Callable, Collection

from trainer.checkpoints.commit import Commit, Damaged, survey
from trainer.checkpoints.parallel import each
from trainer.errors import RunError
from trainer.runs.fence import Fence
from trainer.runs.layout import COMMIT, Attempt
from trainer.storage.base import Store

log = logging.getLogger(__name__)

READ_AGE = 60.0
ORPHAN_AGE = 300.0


def steps_to_remove(
    steps: Collection[int], keep_last: int = 3, keep_every: int | None = None, best: int | None = None
) -> set[int]:
    """The steps to remove: all but the last `keep_last`, `best`, and one for each `keep_every` steps.

    That one is the first at or after each multiple of `keep_every`, so it stays the same as others come.
    """
    if keep_last < 1 or (keep_every is not None and keep_every < 1):
        raise ValueError(f"Expected keep_last and keep_every of at least 1, got {keep_last}, {keep_every}")
    ordered = sorted(set(steps))
    kept = {*ordered[-keep_last:], best}
    if keep_every is not None:
        first = {step // keep_every: step for step in reversed(ordered)}
        kept |= {step for stretch, step in first.items() if stretch > 0}
    return set(ordered) - kept


class Retention:
    """Removes the checkpoints of `steps_to_remove` and what crashed saves left, while its token is newest.

    A doomed checkpoint goes `read_age` seconds after it was first seen doomed, for those who read it
    (restore looks again when one vanishes under it); an attempt without a commit `orphan_age` seconds
    after it was first seen, so that no clock but this process's is believed. The newest checkpoint and
    this writer's own last one never go. A committed checkpoint with missing or truncated objects does
    not count among the last ones: what could replace it stays.
    """

    def __init__(
        self,
        fence: Fence,
        *,
        keep_last: int = 3,
        keep_every: int | None = None,
        read_age: float = READ_AGE,
        orphan_age: float = ORPHAN_AGE,
        workers: int = 4,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        steps_to_remove((), keep_last, keep_every)
        self.fence = fence
        self.keep_last = keep_last
        self.keep_every = keep_every
        self.read_age = read_age
        self.orphan_age = orphan_age
        self.workers = workers
        self.clock = clock
        self._commits: dict[Attempt, Commit | None] = {}
        self._first_seen: dict[tuple[Attempt, bool], float] = {}

    def sweep(
        self,
        mine: Attempt | None = None,
        best: int | None = None,
        *,
        readers: bool = True,
        stop: Callable[[], bool] = lambda: False,
    ) -> list[Attempt]:
        """Removes what is due, until `stop` says so, and returns it. Raises Superseded, the store's errors.

        With `readers` False the wait for those who may still read is left out.
        """
        store = self.fence.store
        listed = survey(store)
        doomed = self._doomed(store, listed, mine, best)
        orphans = {a for a, sizes in listed.items() if COMMIT not in sizes}
        now = self.clock()
        seen = {(a, True): now for a in doomed} | {(a, False): now for a in orphans}
        self._first_seen = {k: min(now, self._first_seen.get(k, now)) for k in seen}
        due = [
            attempt
            for (attempt, committed), first in self._first_seen.items()
            if now - first >= ((self.read_age if readers else 0) if committed else self.orphan_age)
        ]
        removed: list[Attempt] = []
        for attempt in sorted(due):
            if stop():
                break
            self.fence.check()
            store.delete(attempt.key(COMMIT))
            each(store.delete, [attempt.key(n) for n in listed[attempt] if n != COMMIT], self.workers)
            removed.append(attempt)
        return removed

    def _doomed(
        self, store: Store, listed: dict[Attempt, dict[str, int]], mine: Attempt | None, best: int | None
    ) -> set[Attempt]:
        committed = [a for a, sizes in listed.items() if COMMIT in sizes]
        self._commits = {a: c for a, c in self._commits.items() if a in listed}
        highest: dict[int, Attempt] = {}
        last: list[int] = []
        for attempt in committed:
            if len(last) == self.keep_last or self._whole(store, attempt, listed[attempt]):
                highest.setdefault(attempt.step, attempt)
                last = list(highest)[: self.keep_last]
        gone = steps_to_remove(highest, self.keep_last, self.keep_every, best)
        staying = {attempt for step, attempt in highest.items() if step not in gone}
        oldest_of_last = min(last, default=0)
        return {
            a
            for a in committed
            if a not in staying
            and a != mine
            and (a.step < oldest_of_last or (a.step in highest and a < highest[a.step]))
        }

    def _whole(self, store: Store, attempt: Attempt, sizes: dict[str, int]) -> bool:
        if attempt not in self._commits:
            try:
                self._commits[attempt] = Commit.loads(attempt, store.get(attempt.key(COMMIT)))
            except (Damaged, RunError, FileNotFoundError):
                self._commits[attempt] = None
        commit = self._commits[attempt]
        return commit is not None and all(sizes.get(part.name) == part.size for part in commit.parts)
