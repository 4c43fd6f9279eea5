"""Checks every byte of a run's checkpoints against the checksums."""

import threading
from dataclasses import dataclass
from typing import TypedDict

from trainer.checkpoints.commit import CheckpointObject, Commit, Damaged, survey
from trainer.checkpoints.parallel import each
from trainer.checkpoints.restore import Vanished, check_sizes, read_commit, read_part
from trainer.errors import RunError
from trainer.runs.layout import COMMIT, Attempt
from trainer.storage.base import Store


class VerifiedCheckpoint(TypedDict):
    """A checkpoint that was read.

    Attributes:
        step: of the run.
        generation: the number of the token that wrote it.
        problems: sentences; none if it is whole.
    """

    step: int
    generation: int
    problems: list[str]


@dataclass(frozen=True)
class CheckpointReport:
    """One committed checkpoint; `problems` are messages, empty if it is whole."""

    attempt: Attempt
    problems: tuple[str, ...] = ()

    @property
    def step(self) -> int:
        return self.attempt.step

    @property
    def generation(self) -> int:
        return self.attempt.generation

    def values(self) -> VerifiedCheckpoint:
        """What `--json` prints."""
        return {"step": self.step, "generation": self.generation, "problems": list(self.problems)}


def verify(store: Store, *, workers: int = 4) -> list[CheckpointReport]:
    """Checks every byte of every committed checkpoint against its size and sha256, the highest first.

    Faults are listed in `problems`. Raises the store's TimeoutError and PermissionError.
    """
    committed = ((attempt, sizes) for attempt, sizes in survey(store).items() if COMMIT in sizes)
    reports = [_verify(store, attempt, sizes, workers) for attempt, sizes in committed]
    return [report for report in reports if report]


def _verify(store: Store, attempt: Attempt, sizes: dict[str, int], workers: int) -> CheckpointReport | None:
    """Checks one checkpoint in `workers` threads; None if it was removed in the meantime."""
    try:
        return CheckpointReport(attempt, _problems(store, read_commit(store, attempt), sizes, workers))
    except (Damaged, RunError) as error:
        return CheckpointReport(attempt, (str(error),))
    except Vanished:
        return None


def _problems(store: Store, commit: Commit, sizes: dict[str, int], workers: int) -> tuple[str, ...]:
    memory = threading.local()

    def problem(part: CheckpointObject) -> str | None:
        try:
            check_sizes(store, commit, [part], sizes)
            if len(getattr(memory, "buffer", b"")) < part.size:
                memory.buffer = bytearray(part.size)
            read_part(store, commit, part, memoryview(memory.buffer)[: part.size])
        except Damaged as damage:
            return str(damage)
        return None

    return tuple(text for text in each(problem, commit.parts, workers) if text)
