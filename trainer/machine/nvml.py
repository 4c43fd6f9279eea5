"""The GPUs as the driver sees them, through NVIDIA's management library (NVML) where there is one."""

import ctypes
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

LIBRARY = "libnvidia-ml.so.1"


@dataclass(frozen=True)
class GpuMemory:
    """`used` and `total` are bytes; `error` is NVML's number for a GPU that does not respond, else 0."""

    name: str
    used: int = 0
    total: int = 0
    error: int = 0


class _Memory(ctypes.Structure):
    _fields_ = (("total", ctypes.c_ulonglong), ("free", ctypes.c_ulonglong), ("used", ctypes.c_ulonglong))


def gpu_memory(names: Sequence[str], library: Any = None) -> list[GpuMemory]:
    """The memory of the GPUs with these names, which are UUIDs or numbers; empty without NVML.

    Args:
        names: as of `visible_gpus`.
        library: NVML; None to load it.
    """
    if not names:
        return []
    if library is None:
        try:
            library = ctypes.CDLL(LIBRARY)
        except OSError:
            return []
    with _initialized(library) as error:
        if error:
            return [GpuMemory(name, error=error) for name in names]
        return [_memory(library, name) for name in names]


@contextmanager
def _initialized(library: Any) -> Iterator[int]:
    error = library.nvmlInit_v2()
    try:
        yield error
    finally:
        if not error:
            library.nvmlShutdown()


def _memory(library: Any, name: str) -> GpuMemory:
    handle, memory = ctypes.c_void_p(), _Memory()
    if name.isdecimal():
        error = library.nvmlDeviceGetHandleByIndex_v2(ctypes.c_uint(int(name)), ctypes.byref(handle))
    else:
        error = library.nvmlDeviceGetHandleByUUID(name.encode(), ctypes.byref(handle))
    error = error or library.nvmlDeviceGetMemoryInfo(handle, ctypes.byref(memory))
    return GpuMemory(name, memory.used, memory.total, error)
