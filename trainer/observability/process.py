"""This process: its age, and the cores it may use."""

import os
import time
from pathlib import Path

_STARTED = 19  # proc(5), stat: starttime, counted behind the name of the program


def process_age() -> float:
    """Seconds since this process was started, its interpreter's own start included. Linux only."""
    behind_the_name = Path("/proc/self/stat").read_text().rpartition(")")[2]
    started = int(behind_the_name.split()[_STARTED]) / os.sysconf("SC_CLK_TCK")
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started


def available_cores() -> int:
    """The cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
