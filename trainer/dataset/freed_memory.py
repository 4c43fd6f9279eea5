"""When glibc gives freed memory back to the kernel."""

import ctypes
import os

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
