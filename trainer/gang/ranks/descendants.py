"""What a rank has started, also in sessions of its own: found by a mark in the environment it inherits."""

import os
import secrets
import signal
import time
from contextlib import suppress
from pathlib import Path

MARK = "TRAINER_RANK_MARK"
_PROC = Path("/proc")
_PASSES = 100
"""More than any chain of processes needs that start each other while they are looked for."""


def new_mark() -> str:
    """For the environment of one process and all that it starts."""
    return secrets.token_hex(8)


def kill_marked(mark: str) -> None:
    """SIGKILL for every process of this mark, until there is none. Nothing where there is no /proc."""
    for _ in range(_PASSES):
        if not sum(_kill(path, f"{MARK}={mark}".encode()) for path in _PROC.glob("[1-9]*")):
            return
        time.sleep(0.01)


def _kill(process: Path, entry: bytes) -> bool:
    """A handle keeps the number from being another process's by the time of the signal."""
    with suppress(OSError):
        handle = os.pidfd_open(int(process.name))
        try:
            if entry in (process / "environ").read_bytes().split(b"\0"):
                signal.pidfd_send_signal(handle, signal.SIGKILL)
                return True
        finally:
            os.close(handle)
    return False
