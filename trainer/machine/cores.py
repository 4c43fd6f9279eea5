"""The cores that this process may use, and the threads that share them."""

import math
import os
from pathlib import Path


def available_cores() -> int:
    """The cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


_CGROUP = Path("/sys/fs/cgroup")


def usable_cores(cgroup: Path = _CGROUP) -> float:
    """Cores by affinity and by the cgroup's quota (`cpu.max` in version 2, `cfs_quota` in version 1)."""
    return min(float(available_cores()), _quota(cgroup))


def thread_environment(ranks: int, cores: float) -> dict[str, str]:
    """Thread counts that divide `cores` among `ranks`: more threads than cores only wait for each other."""
    threads = str(max(1, math.floor(cores / ranks + 0.01)))
    return dict.fromkeys(("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"), threads)


def _quota(cgroup: Path) -> float:
    try:
        quota, period = (cgroup / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            quota = (cgroup / "cpu" / "cpu.cfs_quota_us").read_text().strip()
            period = (cgroup / "cpu" / "cpu.cfs_period_us").read_text().strip()
        except OSError:
            return math.inf
    if quota == "max" or int(quota) <= 0:
        return math.inf
    return int(quota) / int(period)
