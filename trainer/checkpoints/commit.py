"""One attempt at a checkpoint: its commit, and the order in which its objects are written.

The keys are in `trainer.runs.layout`. Without its commit an attempt is not a checkpoint.
"""

import hashlib
import json
import secrets
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from trainer.checkpoints.parallel import each
from trainer.checkpoints.training_state import FORMAT, refuse_newer
from trainer.runs import layout
from trainer.runs.fence import Fence
from trainer.runs.findings import is_doubted, read_findings
from trainer.runs.layout import COMMIT, STATE, Attempt
from trainer.storage.base import Buffer, ObjectInfo, Store

PIECE_BYTES = 8 << 20
MAX_PIECES = 256
"""Pieces are small enough to upload each in one request (a store may copy those under way), and few enough to
keep the listing of many checkpoints short: a state of more than 2 GiB has larger ones."""


class Damaged(Exception):
    """A committed checkpoint does not match its commit; the text is the reason."""


@dataclass(frozen=True)
class CheckpointObject:
    """One object of an attempt: its name in the attempt's folder, its bytes, and its SHA-256
    (hexadecimal)."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Commit:
    """What makes an attempt a checkpoint. `identity`: the run's; None in commits of older versions."""

    attempt: Attempt
    committed_at: str
    parts: tuple[CheckpointObject, ...]
    identity: Mapping[str, Any] | None = None

    @property
    def size(self) -> int:
        """Bytes of all objects except the commit."""
        return sum(part.size for part in self.parts)

    @property
    def pieces(self) -> tuple[CheckpointObject, ...]:
        """The arrays' objects in the order of the flat buffer."""
        return tuple(part for part in self.parts if part.name != STATE)

    @property
    def state(self) -> CheckpointObject:
        return next(part for part in self.parts if part.name == STATE)

    def dumps(self) -> bytes:
        """JSON with a checksum: the sha256 of the same text without it."""
        document: dict[str, Any] = {
            "format": FORMAT,
            "step": self.attempt.step,
            "generation": self.attempt.generation,
            "committed_at": self.committed_at,
            "objects": [{"key": p.name, "size": p.size, "sha256": p.sha256} for p in self.parts],
            **({"identity": self.identity} if self.identity is not None else {}),
        }
        return _text(document | {"sha256": _digest(_text(document))})

    @classmethod
    def loads(cls, attempt: Attempt, data: bytes) -> "Commit":
        """The commit of `dumps`. Raises Damaged if a byte was changed, RunError for a newer format."""
        try:
            document = json.loads(data)
            checksum = document.pop("sha256")
            if _text(document | {"sha256": checksum}) != data or _digest(_text(document)) != checksum:
                raise ValueError
        except (ValueError, KeyError, AttributeError, TypeError):
            raise Damaged(f"{COMMIT} was changed: its sha256 does not match") from None
        refuse_newer(document["format"], attempt.key(COMMIT))
        if (document["step"], document["generation"]) != (attempt.step, attempt.generation):
            raise Damaged(f"{COMMIT} is for step {document['step']}, generation {document['generation']}")
        parts = tuple(CheckpointObject(o["key"], o["size"], o["sha256"]) for o in document["objects"])
        return cls(attempt, document["committed_at"], parts, document.get("identity"))


def write(
    fence: Fence,
    attempt: Attempt,
    buffer: memoryview,
    state: bytes,
    *,
    piece_bytes: int = PIECE_BYTES,
    workers: int = 4,
) -> Commit:
    """Stores a whole checkpoint, or leaves an attempt that is never restored.

    `buffer` (bytes) is uploaded in pieces, in `workers` threads, without a copy; then state.json; then, if no
    higher token exists, commit.json. When this returns, the checkpoint is acknowledged: the token was still
    the newest *after* the commit, so a process that takes a later one and then lists sees the checkpoint.

    Raises Superseded, or the store's errors. After an error the attempt may still turn out to be committed
    (if a response was lost): that is harmless, and the reason not to clean up here.

    A stale writer can pass the check just before another process takes the token. Its commit then lands late,
    at a step that may be higher than the new writer's. It is not acknowledged, but it is whole and belongs to
    the same run: rows and draws depend only on (seed, step), and the identity of a run is fixed, so a restore
    that prefers the highest step loses nothing and gains steps. One such commit per stale writer is possible,
    within the store's retry budget for one PUT.
    """
    store = fence.store

    def put(named: tuple[str, Buffer]) -> CheckpointObject:
        name, data = named
        digest = _digest(data)
        store.put(attempt.key(name), data)
        return CheckpointObject(name, len(data), digest)

    parts = each(put, _pieces(buffer, piece_bytes), workers)
    parts.append(put((STATE, state)))
    commit = Commit(attempt, datetime.now(UTC).isoformat(), tuple(parts), fence.identity)
    data = commit.dumps()
    fence.check()
    try:
        store.put(attempt.key(COMMIT), data, if_absent=True)
    except FileExistsError:
        if store.get(attempt.key(COMMIT)) != data:
            raise
    fence.check()
    return commit


def list_attempts(store: Store) -> dict[Attempt, dict[str, ObjectInfo]]:
    """Every attempt, the highest first, with its objects by name; one listing."""
    attempts: dict[Attempt, dict[str, ObjectInfo]] = {}
    for info in store.list(layout.CHECKPOINTS):
        if parsed := layout.parse_checkpoint_key(info.key):
            _, attempt, name = parsed
            attempts.setdefault(attempt, {})[name] = info
    return dict(sorted(attempts.items(), reverse=True))


def survey(store: Store) -> dict[Attempt, dict[str, int]]:
    """Every attempt that no audit doubts, the highest first, with the sizes of its objects by name."""
    attempts, findings = list_attempts(store), read_findings(store)
    return {
        attempt: {name: info.size for name, info in objects.items()}
        for attempt, objects in attempts.items()
        if not is_doubted(attempt, findings)
    }


_last_uid_ms = 0
_uid_lock = threading.Lock()


def new_uid() -> str:
    """A unique name for an attempt; the names of this process sort by time."""
    global _last_uid_ms
    with _uid_lock:
        _last_uid_ms = max(time.time_ns() // 1_000_000, _last_uid_ms + 1)
        seconds, ms = divmod(_last_uid_ms, 1000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y%m%dT%H%M%S}{ms:03d}{secrets.token_hex(3)}"


def _pieces(buffer: memoryview, piece_bytes: int) -> Iterator[tuple[str, Buffer]]:
    size = max(piece_bytes, -(-len(buffer) // MAX_PIECES))
    for number, start in enumerate(range(0, len(buffer), size)):
        yield layout.piece(number), buffer[start : start + size]


def _text(document: dict[str, Any]) -> bytes:
    return json.dumps(document, indent=1).encode()


def _digest(data: Buffer) -> str:
    return hashlib.sha256(data).hexdigest()
