"""Processes: the age of this one, whether one is stopped by a signal, and children that end with their
parent."""

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

LOCAL_WORKER = "TRAINER_LOCAL_WORKER"
"""Set by `predict --workers` for its worker processes."""

_STATE, _STARTED = 0, 19  # proc(5), stat: state and starttime, counted behind the name of the program


def process_age() -> float:
    """Seconds since this process was started, including the start of its interpreter. Linux only."""
    started = int(_stat("self")[_STARTED]) / os.sysconf("SC_CLK_TCK")
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started


def is_frozen(pid: int) -> bool:
    """Whether a signal such as SIGSTOP has stopped a process."""
    try:
        return _stat(str(pid))[_STATE] == "T"
    except OSError:
        return False


def _stat(pid: str) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


# Runs in a process before its command. The kernel then kills it when the thread that started it ends; if the
# parent has died in between, the parent's number has changed.
_LEASH = """
import ctypes, os, sys
ctypes.CDLL(None, use_errno=True).prctl(1, 9, 0, 0, 0)
if os.getppid() != int(sys.argv[1]):
    os._exit(137)
try:
    os.execvp(sys.argv[2], sys.argv[2:])
except OSError as error:
    sys.exit(f"cannot start {sys.argv[2]}: {error.strerror}")
"""


def leashed(command: Sequence[str]) -> list[str]:
    """The command, changed so that it ends together with the thread of this process that starts it."""
    return [sys.executable, "-I", "-S", "-c", _LEASH, str(os.getpid()), *command]
