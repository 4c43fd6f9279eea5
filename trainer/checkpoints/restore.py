"""Restores a state from the store: the highest whole checkpoint, with every byte checked."""

import hashlib
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from trainer.checkpoints.array_layout import Bytes
from trainer.checkpoints.commit import CheckpointObject, Commit, Damaged, survey
from trainer.checkpoints.parallel import each
from trainer.checkpoints.training_state import TrainingState, read_description
from trainer.errors import RunError, TransientError
from trainer.runs.identity import difference
from trainer.runs.layout import COMMIT, STATE, Attempt
from trainer.storage.base import Store

log = logging.getLogger(__name__)

MAX_ROUNDS = 20
WORKERS = 8


@dataclass(frozen=True)
class Skipped:
    """A higher attempt that was not restored, and the reason."""

    attempt: Attempt
    reason: str


@dataclass
class Restored(TrainingState):
    """A state from the store. `attempt`: its checkpoint; `skipped`: the higher attempts."""

    attempt: Attempt
    skipped: list[Skipped] = field(default_factory=list)


class Vanished(Exception):
    """Retention removed the checkpoint while it was being read: the listing is out of date."""


def restore(
    store: Store,
    *,
    step: int | None = None,
    generation: int = 0,
    identity: Mapping[str, Any] | None = None,
    workers: int = WORKERS,
) -> Restored | None:
    """The whole checkpoint of the highest (step, generation), or of `step`; None without any commit.

    Generations below `generation` do not belong to this run (see `runs.claim`) and are skipped; so are, with
    a warning, checkpoints of a run with another `identity`.

    Size and SHA-256 of every object are checked. Higher checkpoints that are corrupt or unfinished are
    skipped with a warning, and listed in `skipped`. The arrays are writable views of one buffer.

    Raises:
        RunError: a checkpoint has a newer format, no committed checkpoint is whole, or `step` does not exist.
        TimeoutError, PermissionError: the store's errors. They do not mean that a checkpoint is corrupt:
            falling back would lose steps.
    """
    warned: set[Attempt] = set()
    for _ in range(MAX_ROUNDS):
        try:
            return _restore_listed(store, _wanted(store, step, generation), workers, warned, identity)
        except Vanished as removed:
            log.info("the %s was removed while being read; retrying", removed)
    raise TransientError(
        f"{store.url}: checkpoints were removed {MAX_ROUNDS} times while being read",
        "Try again, or raise run.checkpoint.keep_last",
    )


def _wanted(store: Store, step: int | None, generation: int) -> dict[Attempt, dict[str, int]]:
    listed = {a: sizes for a, sizes in survey(store).items() if a.generation >= generation}
    if step is None:
        return listed
    committed = {attempt: sizes for attempt, sizes in listed.items() if COMMIT in sizes}
    wanted = {attempt: sizes for attempt, sizes in committed.items() if attempt.step == step}
    if not wanted:
        steps = sorted({attempt.step for attempt in committed})
        raise RunError(
            f"{store.url} has no checkpoint of step {step}",
            f"Steps with a checkpoint: {', '.join(map(str, steps))}" if steps else "It has no checkpoints",
        )
    return wanted


def _restore_listed(
    store: Store,
    listed: dict[Attempt, dict[str, int]],
    workers: int,
    warned: set[Attempt],
    identity: Mapping[str, Any] | None,
) -> Restored | None:
    skipped: list[Skipped] = []
    committed = 0
    for attempt, sizes in listed.items():
        try:
            if COMMIT not in sizes:
                raise Damaged(f"no {COMMIT}: it was never finished, or is being removed")
            committed += 1
            commit = read_commit(store, attempt)
            _check_run(commit, identity)
            check_sizes(store, commit, commit.parts, sizes)
            state, buffer = _read(store, commit, workers)
            layout, step, values = read_description(state, attempt.key(STATE))
            return Restored(step, layout.views(buffer), values, attempt, skipped)
        except Damaged as damage:
            skipped.append(Skipped(attempt, str(damage)))
            if attempt not in warned:
                warned.add(attempt)
                log.warning("skipped the %s: %s", attempt, damage)
    if committed:
        raise RunError(
            f"{store.url}: all {committed} committed checkpoints are corrupt "
            f"(the newest: {next(s for s in skipped if COMMIT in listed[s.attempt]).reason})",
            "Restore its objects from a backup or from older versions; to start over, use a new run.url",
        )
    return None


def read_commit(store: Store, attempt: Attempt) -> Commit:
    """The commit of an attempt. Raises Damaged, RunError (newer format), or Vanished if it was removed."""
    try:
        return Commit.loads(attempt, store.get(attempt.key(COMMIT)))
    except FileNotFoundError:
        raise Vanished(attempt) from None


def check_sizes(
    store: Store, commit: Commit, parts: Iterable[CheckpointObject], sizes: dict[str, int]
) -> None:
    """Raises Damaged if one of `parts` is missing or has another size, Vanished if the commit was removed
    too.

    A listing is not a snapshot, so what looks wrong in it is checked again.
    """
    for part in parts:
        if sizes.get(part.name) == part.size:
            continue
        try:
            size = store.stat(commit.attempt.key(part.name)).size
        except FileNotFoundError:
            raise _missing(store, commit, part) from None
        if size != part.size:
            raise Damaged(f"{part.name} has {size} bytes instead of {part.size}")


def _check_run(commit: Commit, identity: Mapping[str, Any] | None) -> None:
    """Raises Damaged if the checkpoint belongs to a run with another identity."""
    if identity is not None and commit.identity is not None:
        changed = difference(commit.identity, identity)
        if changed:
            key, old, new = changed
            raise Damaged(f"it belongs to a different run: {key} is {old!r} there and {new!r} here")


def read_part(store: Store, commit: Commit, part: CheckpointObject, into: memoryview) -> None:
    """Reads one object into `into` (of its size in bytes). Raises Damaged, Vanished or the store's errors."""
    try:
        store.get_range(commit.attempt.key(part.name), 0, part.size, into=into)
    except FileNotFoundError:
        raise _missing(store, commit, part) from None
    except EOFError as short:
        raise Damaged(str(short)) from None
    if hashlib.sha256(into).hexdigest() != part.sha256:
        raise Damaged(f"the sha256 of {part.name} does not match the commit")


def _missing(store: Store, commit: Commit, part: CheckpointObject) -> Exception:
    try:
        store.stat(commit.attempt.key(COMMIT))
    except FileNotFoundError:
        return Vanished(commit.attempt)
    return Damaged(f"{part.name} is missing")


def _read(store: Store, commit: Commit, workers: int) -> tuple[bytes, Bytes]:
    buffer: Bytes = np.empty(sum(p.size for p in commit.pieces), np.uint8)
    state = bytearray(commit.state.size)
    targets, start = [(commit.state, memoryview(state))], 0
    for part in commit.pieces:
        targets.append((part, buffer.data[start : start + part.size]))
        start += part.size
    each(lambda target: read_part(store, commit, *target), targets, workers)
    return bytes(state), buffer
