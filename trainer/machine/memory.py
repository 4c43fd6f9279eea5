"""The memory that this process may use, and what it gives back to the kernel."""

import ctypes
import os
from pathlib import Path


def available_memory(cgroup: Path = Path("/sys/fs/cgroup")) -> int:
    """Bytes of memory that this process may use: the machine's, or its container's limit (cgroups 2 or 1)."""
    whole = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for limit in ("memory.max", "memory/memory.limit_in_bytes"):
        try:
            return min(whole, int((cgroup / limit).read_text()))
        except (OSError, ValueError):  # not this version, or "max"
            pass
    return whole


_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Names of mallopt(3)."""


_LARGEST = 32 << 20
"""Bytes: the highest M_MMAP_THRESHOLD that glibc takes."""


def keep_freed_memory() -> None:
    """Lets this process keep what a step frees for the next one, instead of faulting it in page by page.

    These are the thresholds that glibc comes to by itself: up to 64 MiB stay free at the end of the heap.
    TensorFlow fixes that at 128 KiB when the first iterator over a generator is made, so call this after it.
    Where the environment sets MALLOC_..._THRESHOLD_, or there is no glibc, nothing happens.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None or {"MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_"} & os.environ.keys():
        return
    mallopt(_MMAP_THRESHOLD, _LARGEST)
    mallopt(_TRIM_THRESHOLD, 2 * _LARGEST)
