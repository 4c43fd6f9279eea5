"""Processes: the age of this one, the cores and the memory it may use, whether one is stopped."""

import os
import time
from pathlib import Path

_STATE, _STARTED = 0, 19  # proc(5), stat: state and starttime, counted behind the name of the program


def process_age() -> float:
    """Seconds since this process was started, its interpreter's own start included. Linux only."""
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


def available_cores() -> int:
    """The cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def available_memory(cgroup: Path = Path("/sys/fs/cgroup")) -> int:
    """Bytes of memory that this process may use: the machine's, or its container's limit (cgroups 2 or 1)."""
    whole = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for limit in ("memory.max", "memory/memory.limit_in_bytes"):
        try:
            return min(whole, int((cgroup / limit).read_text()))
        except (OSError, ValueError):  # not this version, or "max"
            pass
    return whole
