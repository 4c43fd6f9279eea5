"""What a run's checkpoints are, for people: a list, and every byte read against its sha256."""

import threading
from dataclasses import dataclass

from trainer.errors import RunError
from trainer.storage.base import Store
from trainer.training.commit import COMMIT, Attempt, Commit, Damaged, Part, survey
from trainer.training.parallel import each
from trainer.training.restore import Vanished, check_sizes, read_commit, read_part


@dataclass(frozen=True)
class Listed:
    """One attempt, committed or not; `committed_at` (ISO 8601, UTC) as far as its commit can be read.

    `size` is in bytes; `problems` are lines for a person, none when it is whole as far as was looked.
    """

    attempt: Attempt
    committed: bool
    committed_at: str | None
    size: int
    objects: int
    problems: tuple[str, ...] = ()

    @property
    def step(self) -> int:
        return self.attempt.step

    @property
    def generation(self) -> int:
        return self.attempt.generation


def list_checkpoints(store: Store) -> list[Listed]:
    """Every attempt at a checkpoint, the highest first; looks at commits and sizes, reads no arrays."""
    found = each(lambda item: _look(store, *item), survey(store).items(), workers=8)
    return [listed for listed in found if listed]


def verify(store: Store, *, workers: int = 4) -> list[Listed]:
    """Reads every byte of every committed checkpoint against its size and sha256, the highest first.

    What is wrong with one is in its `problems`. Raises TimeoutError and PermissionError as the store does.
    """
    found = [_look(store, attempt, sizes, workers) for attempt, sizes in survey(store).items()]
    return [listed for listed in found if listed and listed.committed]


def _look(store: Store, attempt: Attempt, sizes: dict[str, int], readers: int = 0) -> Listed | None:
    """One attempt, or None when it was removed meanwhile; with `readers` threads its bytes are read."""
    size = sum(sizes.values())
    if COMMIT not in sizes:
        return Listed(attempt, False, None, size, len(sizes), ("never committed",))
    try:
        commit = read_commit(store, attempt)
        problems = _problems(store, commit, sizes, readers)
    except (Damaged, RunError) as error:
        return Listed(attempt, True, None, size, len(sizes), (str(error),))
    except Vanished:
        return None
    return Listed(attempt, True, commit.committed_at, size, len(sizes), problems)


def _problems(store: Store, commit: Commit, sizes: dict[str, int], readers: int) -> tuple[str, ...]:
    memory = threading.local()

    def problem(part: Part) -> str | None:
        try:
            check_sizes(store, commit, [part], sizes)
            if readers:
                if len(getattr(memory, "buffer", b"")) < part.size:
                    memory.buffer = bytearray(part.size)
                read_part(store, commit, part, memoryview(memory.buffer)[: part.size])
        except Damaged as damage:
            return str(damage)
        return None

    return tuple(found for found in each(problem, commit.parts, max(1, readers)) if found)
