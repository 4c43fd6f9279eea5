"""The processes that a rank has started, in any session: they inherit a mark in their environment."""

import os
import secrets
import signal
import time
from contextlib import suppress
from pathlib import Path

MARK = "TRAINER_RANK_MARK"
_PROC = Path("/proc")
_MAX_PASSES = 100
"""More than enough for processes that start each other during the search."""


def new_mark() -> str:
    """A value for the environment of one process and of all that it starts."""
    return secrets.token_hex(8)


def kill_marked(mark: str) -> None:
    """Sends SIGKILL to the processes with this mark until none is left. Does nothing without /proc."""
    for _ in range(_MAX_PASSES):
        if not sum(_kill(path, f"{MARK}={mark}".encode()) for path in _PROC.glob("[1-9]*")):
            return
        time.sleep(0.01)


def _kill(process: Path, entry: bytes) -> bool:
    """Kills the process if its environment has `entry`. The handle guards against reuse of its number."""
    with suppress(OSError):
        handle = os.pidfd_open(int(process.name))
        try:
            if entry in (process / "environ").read_bytes().split(b"\0"):
                signal.pidfd_send_signal(handle, signal.SIGKILL)
                return True
        finally:
            os.close(handle)
    return False


def reap_orphans(known: set[int]) -> None:
    """Reaps ended processes that nobody waits for, except the `known`; a duty of process 1."""
    while True:
        try:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if ended is None or ended.si_pid in known:
            return
        os.waitpid(ended.si_pid, 0)
