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
    return _look(store, bytes_too=False, workers=1)


def verify(store: Store, *, workers: int = 4) -> list[Listed]:
    """Reads every byte of every committed checkpoint against its size and sha256, the highest first.

    What is wrong with one is in its `problems`. Raises TimeoutError and PermissionError as the store does.
    """
    return [found for found in _look(store, bytes_too=True, workers=workers) if found.committed]


def _look(store: Store, *, bytes_too: bool, workers: int) -> list[Listed]:
    found = []
    for attempt, sizes in survey(store).items():
        size = sum(sizes.values())
        if COMMIT not in sizes:
            found.append(Listed(attempt, False, None, size, len(sizes), ("never committed",)))
            continue
        try:
            commit = read_commit(store, attempt)
            problems = _problems(store, commit, sizes, bytes_too, workers)
            found.append(Listed(attempt, True, commit.committed_at, size, len(sizes), problems))
        except (Damaged, RunError) as error:
            found.append(Listed(attempt, True, None, size, len(sizes), (str(error),)))
        except Vanished:
            continue
    return found


def _problems(
    store: Store, commit: Commit, sizes: dict[str, int], bytes_too: bool, workers: int
) -> tuple[str, ...]:
    memory = threading.local()

    def problem(part: Part) -> str | None:
        try:
            check_sizes(store, commit, [part], sizes)
            if bytes_too:
                if len(getattr(memory, "buffer", b"")) < part.size:
                    memory.buffer = bytearray(part.size)
                read_part(store, commit, part, memoryview(memory.buffer)[: part.size])
        except Damaged as damage:
            return str(damage)
        return None

    return tuple(found for found in each(problem, commit.parts, workers) if found)
