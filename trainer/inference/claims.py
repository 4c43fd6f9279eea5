"""The choice of a worker's next part. Claims are advice: two workers with one part leave one result."""

import json
import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from trainer.inference import keys
from trainer.storage import Store

CLAIM_SECONDS = 20.0
"""Seconds that another worker has for a part, where this one does not know yet how long a part takes."""


@dataclass(frozen=True)
class Claim:
    """Who does a part, and for how many seconds this worker has known it."""

    worker: str
    age: float


def choose(
    parts: int,
    done: Collection[int],
    claims: Mapping[int, Claim],
    worker: str,
    start: int,
    patience: float,
) -> int | None:
    """The part to do next, None where there is none, or others are still at work on the last ones.

    First what this worker had claimed when it was killed; then what nobody does, from `start` on; then what
    another does for longer than `patience`: it is late, or lost.
    """
    if len(done) == parts:
        return None
    order = [(start + offset) % parts for offset in range(parts)]
    remaining = [part for part in order if part not in done]
    mine = [part for part in remaining if part in claims and claims[part].worker == worker]
    free = [part for part in remaining if part not in claims]
    late = [part for part in remaining if part in claims and claims[part].age >= patience]
    return next(iter([*mine, *free, *late]), None)


@dataclass
class Claims:
    """The claims of all workers, as this one sees them in the store.

    Attributes:
        worker: the name of this one; after a restart it has the same.
        index: its number, of `workers`; it starts to look for a part there.
    """

    store: Store
    worker: str
    index: int
    workers: int
    parts: int
    taken: set[int] = field(default_factory=set)
    """What this process has taken."""
    _seen: dict[int, tuple[str, float]] | None = None
    _durations: list[float] = field(default_factory=list)

    def done(self) -> set[int]:
        """The completed parts."""
        numbers = (keys.part_of(info.key) for info in self.store.list(keys.PREDICTIONS))
        return {part for part in numbers if part is not None and part < self.parts}

    def take(self) -> int | None:
        """A part for this worker, claimed; None where there is none now."""
        done = self.done() | self.taken
        claims = self._look(done)
        while True:
            start = self.parts * self.index // self.workers
            part = choose(self.parts, done, claims, self.worker, start, self._patience())
            if part is None:
                return None
            if part in claims or self._claim(part):
                self.taken.add(part)
                return part
            claims[part] = Claim("", 0.0)

    def finished(self, seconds: float) -> None:
        """Records how many seconds a part took."""
        self._durations.append(seconds)

    def clear(self) -> None:
        """Delete all claims: everything is done."""
        for info in self.store.list(keys.CLAIMS):
            with suppress(OSError):
                self.store.delete(info.key)

    def _patience(self) -> float:
        return (
            max(1.0, sorted(self._durations)[len(self._durations) // 2]) if self._durations else CLAIM_SECONDS
        )

    def _claim(self, part: int) -> bool:
        """False where another was faster."""
        try:
            data = json.dumps({"worker": self.worker, "time": time.time()}).encode()
            self.store.put(keys.claim(part), data, if_absent=True)
        except FileExistsError:
            return False
        return True

    def _look(self, done: Collection[int]) -> dict[int, Claim]:
        """Whose claims are there is read at first alone: those that come later are of others."""
        now = time.monotonic()
        first, seen = self._seen is None, self._seen or {}
        self._seen = seen
        claims = {}
        for info in self.store.list(keys.CLAIMS):
            part = keys.part_of(info.key)
            if part is None or part in done:
                continue
            if part not in seen:
                seen[part] = (self._who(info.key) if first else "", now)
            worker, since = seen[part]
            claims[part] = Claim(worker, now - since)
        return claims

    def _who(self, key: str) -> str:
        with suppress(OSError, ValueError, KeyError, TypeError):
            return str(json.loads(self.store.get(key))["worker"])
        return ""
