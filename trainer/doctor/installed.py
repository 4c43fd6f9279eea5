"""The installed packages, and the hardware of this machine."""

import os
import platform
import sys
from collections.abc import Iterator
from importlib import metadata

from trainer import __version__
from trainer.doctor.finding import CheckResult
from trainer.machine.cores import usable_cores
from trainer.machine.gpus import visible_gpus
from trainer.machine.memory import available_memory
from trainer.output.units import size

_INSTALL = "pip install 'cars-trainer[cpu]', or [gpu]"
_COMPILE = "scripts/env compiles it, as Dockerfile.gpu does"
_LIBRARIES = ("keras", "numpy", "h5py", "boto3")


def examine() -> Iterator[CheckResult]:
    """Quick: imports nothing."""
    yield CheckResult("ok", "trainer", __version__)
    yield CheckResult("ok", "python", f"{platform.python_version()} at {sys.executable}")
    yield CheckResult("ok", "cores", f"{usable_cores():g}")
    yield CheckResult("ok", "memory", size(available_memory()))
    for names, need, remedy in (
        (("tensorflow", "tensorflow-cpu"), "training", _INSTALL),
        (("horovod",), "several ranks", _COMPILE),
    ):
        package = next((f"{n} {v}" for n in names if (v := _version(n))), None)
        absent = CheckResult("warning", names[0], f"not installed: no {need} here", remedy)
        yield CheckResult("ok", names[0], package) if package else absent
    libraries = [f"{name} {version}" for name in _LIBRARIES if (version := _version(name))]
    yield CheckResult("ok", "libraries", ", ".join(libraries))
    yield CheckResult("ok", "GPUs", ", ".join(visible_gpus(os.environ)) or "none available to this process")


def can_train() -> bool:
    """Whether TensorFlow is installed here."""
    return installed("tensorflow") or installed("tensorflow-cpu")


def installed(distribution: str) -> bool:
    return _version(distribution) is not None


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None
