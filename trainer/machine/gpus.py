"""The GPUs of this container, by the names under which CUDA knows them."""

import itertools
from collections.abc import Mapping
from pathlib import Path

from trainer.errors import ConfigError

VISIBLE = "CUDA_VISIBLE_DEVICES"
"""The variable that CUDA reads: numbers, or the UUIDs of GPUs and MIG instances."""
_NVIDIA_VISIBLE = "NVIDIA_VISIBLE_DEVICES"
_NONE = ("", "-1", "none", "void", "NoDevFiles")


def visible_gpus(environment: Mapping[str, str], folder: Path = Path("/dev")) -> list[str]:
    """A name for each GPU that this container may use.

    CUDA_VISIBLE_DEVICES if it is set, as CUDA reads it: up to the first invalid entry. Else the UUIDs that
    Kubernetes' device plugin puts into NVIDIA_VISIBLE_DEVICES, without which CUDA sees only one MIG instance.
    Else a number for each device file in `folder`.
    """
    if VISIBLE in environment:
        names = [name.strip() for name in environment[VISIBLE].split(",")]
        return list(itertools.takewhile(lambda name: name not in _NONE, names))
    names = [name.strip() for name in environment.get(_NVIDIA_VISIBLE, "all").split(",")]
    if all(name in _NONE for name in names):
        return []
    if all(name.startswith(("GPU-", "MIG-")) for name in names):
        return names
    files = [path for path in folder.glob("nvidia[0-9]*") if path.name.removeprefix("nvidia").isdecimal()]
    return [str(number) for number in range(len(files))]


def check_ranks(ranks: int, devices: list[str]) -> None:
    """Raises ConfigError for more ranks than GPUs: two ranks on one GPU cannot exchange over NCCL."""
    if devices and ranks > len(devices):
        raise ConfigError(
            f"ranks: expected at most {len(devices)}, one per GPU of this pod, received {ranks}",
            f"Use {len(devices)} or `auto`, request more GPUs, or set {VISIBLE}= to use CPU cores",
        )
