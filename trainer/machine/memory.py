"""The memory that this process may use, and when it returns freed memory to the kernel."""

import ctypes
import os
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")
"""This container's cgroup, where the kernel counts and limits its memory (cgroups 2 or 1)."""


def available_memory(cgroup: Path = CGROUP) -> int:
    """Bytes of memory that this process may use: the machine's, or its container's limit (cgroups 2 or 1)."""
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for limit in ("memory.max", "memory/memory.limit_in_bytes"):
        try:
            return min(total, int((cgroup / limit).read_text()))
        except (OSError, ValueError):  # not this version, or "max"
            pass
    return total


def oom_kills(cgroup: Path = CGROUP) -> int:
    """Processes of this container that the kernel has killed for want of memory; 0 where it does not say."""
    for counters in ("memory.events", "memory/memory.oom_control"):
        try:
            lines = (cgroup / counters).read_text().splitlines()
        except OSError:  # not this version
            continue
        counts = dict(line.split(maxsplit=1) for line in lines if " " in line)
        return int(counts.get("oom_kill", 0))
    return 0


_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Parameters of mallopt(3)."""
_MAX_MMAP_THRESHOLD = 32 << 20
"""Bytes: the highest M_MMAP_THRESHOLD that glibc accepts."""


def keep_freed_memory() -> None:
    """Lets this process keep the memory that a step frees for the next one, instead of faulting pages in
    again.

    These are the thresholds that glibc reaches by itself: up to 64 MiB stay free at the end of the heap.
    TensorFlow fixes that at 128 KiB when the first iterator over a generator is created, so call this after
    it. Does nothing if the environment sets MALLOC_..._THRESHOLD_, or without glibc.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None or {"MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_"} & os.environ.keys():
        return
    mallopt(_MMAP_THRESHOLD, _MAX_MMAP_THRESHOLD)
    mallopt(_TRIM_THRESHOLD, 2 * _MAX_MMAP_THRESHOLD)
