"""Which checkpoints are kept, and the removal of the others."""

import bisect
from collections.abc import Callable, Collection, Mapping

from trainer.checkpoints.commit import Commit, Damaged, list_attempts
from trainer.checkpoints.parallel import each
from trainer.errors import RunError
from trainer.runs.fence import Fence
from trainer.runs.findings import is_doubted, read_findings
from trainer.runs.layout import COMMIT, Attempt
from trainer.storage import ObjectInfo, Store

READ_AGE = 60.0
ORPHAN_AGE = 300.0
LEFTOVER_AGE = 3600.0

Objects = Mapping[str, ObjectInfo]
"""The objects of an attempt, by name."""


def steps_to_remove(
    steps: Collection[int],
    keep_last: int = 3,
    keep_every: int | None = None,
    best: int | None = None,
    audited: int | None = None,
) -> set[int]:
    """The steps to remove: all but the last `keep_last`, `best`, the newest one up to `audited`, and one per
    `keep_every` steps.

    That one is the first at or after each multiple of `keep_every`, so it does not change when others come.
    """
    if keep_last < 1 or (keep_every is not None and keep_every < 1):
        raise ValueError(f"expected keep_last and keep_every >= 1, received {keep_last}, {keep_every}")
    ordered = sorted(set(steps))
    kept = {*ordered[-keep_last:], best}
    if audited is not None:
        kept |= {max((step for step in ordered if step <= audited), default=None)}
    if keep_every is not None:
        first = {step // keep_every: step for step in reversed(ordered)}
        kept |= {step for stretch, step in first.items() if stretch > 0}
    return set(ordered) - kept


class Retention:
    """Removes the checkpoints of `steps_to_remove` and the leftovers of crashed saves, while its token is
    newest.

    A replaced checkpoint is removed `read_age` seconds after the commit that replaced it, for the sake of
    readers (restore tries again if one is removed under it); an attempt without a commit `orphan_age` seconds
    after its last object. All times are the store's, and the newest object is the current time, so after a
    crash there is nothing to wait for. The newest checkpoint, this writer's last one and what it began since
    are never removed. A committed checkpoint with missing or truncated objects does not count among the last
    ones: the one that could replace it is kept.
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
    ) -> None:
        steps_to_remove((), keep_last, keep_every)
        self.fence = fence
        self.keep_last = keep_last
        self.keep_every = keep_every
        self.read_age = read_age
        self.orphan_age = orphan_age
        self.workers = workers
        self._commits: dict[Attempt, Commit | None] = {}

    def sweep(
        self,
        mine: Attempt | None = None,
        best: int | None = None,
        audited: int | None = None,
        *,
        readers: bool = True,
        stop: Callable[[], bool] = lambda: False,
    ) -> list[Attempt]:
        """Removes what is due, until `stop`, and returns it. Raises Superseded, the store's errors.

        Checkpoints that an audit doubts are removed at once.

        Args:
            mine: the last attempt that this writer committed.
            best: as in `steps_to_remove`.
            audited: as in `steps_to_remove`.
            readers: whether to wait for processes that may still read.
            stop: whether to end early.
        """
        store = self.fence.store
        listed, findings = list_attempts(store), read_findings(store)
        doubted = {attempt for attempt in listed if is_doubted(attempt, findings)}
        now = max((info.modified for objects in listed.values() for info in objects.values()), default=0.0)
        trusted = {attempt: objects for attempt, objects in listed.items() if attempt not in doubted}
        due = [
            attempt
            for attempt, since in self._doomed(store, trusted, mine, best, audited).items()
            if not readers or now - since >= self.read_age
        ]
        due += doubted
        for attempt, objects in trusted.items():
            if COMMIT not in objects and not self._may_be_under_way(attempt, mine):
                age = now - max(info.modified for info in objects.values())
                if age >= self.orphan_age:
                    due.append(attempt)
        removed: list[Attempt] = []

        def delete(key: str) -> None:
            if not stop():  # the rest has no commit, and a later sweep removes it
                store.delete(key)

        for attempt in sorted(due):
            if stop():
                break
            self.fence.check()
            store.delete(attempt.key(COMMIT))
            each(delete, [attempt.key(n) for n in listed[attempt] if n != COMMIT], self.workers)
            removed.append(attempt)
        store.remove_leftovers(now - LEFTOVER_AGE)
        return removed

    def _may_be_under_way(self, attempt: Attempt, mine: Attempt | None) -> bool:
        """Whether this is an attempt of this writer after its last commit; earlier ones have ended."""
        return attempt.generation == self.fence.number and (mine is None or attempt > mine)

    def _doomed(
        self,
        store: Store,
        listed: Mapping[Attempt, Objects],
        mine: Attempt | None,
        best: int | None,
        audited: int | None,
    ) -> dict[Attempt, float]:
        """The checkpoints to remove, each with the time of the commit that replaced it."""
        committed = {a: objects[COMMIT].modified for a, objects in listed.items() if COMMIT in objects}
        self._commits = {a: c for a, c in self._commits.items() if a in listed}
        highest: dict[int, Attempt] = {}
        last: list[int] = []
        for attempt in committed:
            if len(last) == self.keep_last or self._whole(store, attempt, listed[attempt]):
                highest.setdefault(attempt.step, attempt)
                last = list(highest)[: self.keep_last]
        to_remove = steps_to_remove(highest, self.keep_last, self.keep_every, best, audited)
        kept = {attempt for step, attempt in highest.items() if step not in to_remove}
        oldest_of_last = min(last, default=0)
        doomed: dict[Attempt, float] = {}
        above: list[float] = []
        """The times of the first `keep_last` commits of the checkpoints above."""
        for attempt, when in committed.items():
            newer = highest.get(attempt.step)
            if attempt not in kept and attempt != mine:
                if newer is not None and attempt < newer:
                    doomed[attempt] = committed[newer]
                elif attempt.step < oldest_of_last:
                    doomed[attempt] = above[-1]
            if attempt == newer:
                bisect.insort(above, when)
                del above[self.keep_last :]
        return doomed

    def _whole(self, store: Store, attempt: Attempt, objects: Objects) -> bool:
        if attempt not in self._commits:
            try:
                self._commits[attempt] = Commit.loads(attempt, store.get(attempt.key(COMMIT)))
            except (Damaged, RunError, FileNotFoundError):
                self._commits[attempt] = None
        commit = self._commits[attempt]
        return commit is not None and all(
            part.name in objects and objects[part.name].size == part.size for part in commit.parts
        )
