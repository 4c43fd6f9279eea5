"""What has to hold before a pod joins: disk space, GPUs that respond and are free, a store that answers."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from trainer.errors import TrainerError, one_line
from trainer.machine.gpus import visible_gpus
from trainer.machine.nvml import GpuMemory, gpu_memory
from trainer.output.units import size
from trainer.runs import layout
from trainer.storage import Store

FREE_DISK_BYTES = 64 << 20
"""Bytes that metrics and temporary files of a rank may need."""
USED_GPU_BYTES = 2 << 30
"""Bytes that a driver reserves at most of a GPU that nobody uses."""
PATIENCE_SECONDS = 60.0
"""Seconds that a pod waits for another process to leave a GPU; GPUs may be shared on purpose."""


def disk_problems(folders: Iterable[Path], needed: int = FREE_DISK_BYTES) -> Iterator[str]:
    """What is wrong with folders for temporary files, a text each."""
    for folder in folders:
        there = next(path for path in (folder, *folder.parents) if path.exists())
        if not os.access(there, os.W_OK):
            yield f"{folder} cannot be written"
        elif (free := shutil.disk_usage(there).free) < needed:
            yield f"{folder} has {size(free)} of free space, and {size(needed)} are expected"


def gpu_problems(gpus: Iterable[GpuMemory], waited: float) -> Iterator[str]:
    """What is wrong with GPUs that no rank of this pod uses now, a text each.

    `waited`: seconds since the pod wanted to join. Used memory is ignored after PATIENCE_SECONDS.
    """
    for gpu in gpus:
        if gpu.error:
            yield f"GPU {gpu.name} does not respond (NVML error {gpu.error})"
        elif gpu.used > USED_GPU_BYTES and waited < PATIENCE_SECONDS:
            used, total = size(gpu.used), size(gpu.total)
            yield f"another process uses {used} of the {total} of GPU {gpu.name}"


def store_problems(store: Store) -> Iterator[str]:
    """Why the run's folder cannot be read, a text; nothing if it can."""
    try:
        store.stat(layout.RUN)
    except FileNotFoundError:
        pass  # of a run that has not begun
    except TrainerError as error:
        yield error.problem
    except OSError as error:
        yield f"{store.url}: {one_line(error)}"


def health_check(
    store: Store | None = None,
    folders: Sequence[Path] = (),
    gpus: Callable[[], Sequence[GpuMemory]] = lambda: gpu_memory(visible_gpus(os.environ)),
) -> Callable[[float], str]:
    """A function of the seconds waited so far -> what is wrong with this pod, "" if nothing is.

    Args:
        store: the run's folder; None if it is not tried.
        folders: where files are written, in addition to the folder for temporary files.
        gpus: reads the memory of this pod's GPUs.
    """

    def check(waited: float) -> str:
        problems = [*disk_problems([Path(tempfile.gettempdir()), *folders]), *gpu_problems(gpus(), waited)]
        return "; ".join([*problems, *(store_problems(store) if store else ())])

    return check
