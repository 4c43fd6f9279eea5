"""The environment of a rank process: its place, Horovod's settings, and its part of the pod's cores."""

import os
import socket
from collections.abc import Mapping

from trainer.distribution import rank_variables
from trainer.gang.ranks.slot import Slot
from trainer.machine import gpus
from trainer.machine.cores import thread_environment, usable_cores
from trainer.observability.metric_names import MULTIPROC_FOLDER

GLOO_TIMEOUT = "HOROVOD_GLOO_TIMEOUT_SECONDS"
CYCLE_TIME = "HOROVOD_CYCLE_TIME"
CPU_CYCLE_MS = "3"
"""Milliseconds between two rounds in which ranks without GPUs negotiate what to exchange. Horovod's default
of 1 ms costs small networks noticeable CPU time."""


def rank_environment(
    slot: Slot,
    *,
    generation: int,
    rendezvous_port: int,
    gloo_timeout: int,
    gang: str,
    token: int = 0,
    metrics_folder: str | None = None,
    gpus: int = 1,
) -> dict[str, str]:
    """This process's environment, with the variables of Horovod's core and thread counts.

    Variables for threads, timeout and cycle time keep the values that this process's environment has. If this
    container has GPUs, each rank sees its own `gpus`.

    Args:
        slot: the rank's place.
        generation: the number of its generation.
        rendezvous_port: the port of that generation's key-value store, at 127.0.0.1.
        gloo_timeout: seconds.
        gang: who runs the run, over restarts; see `trainer.runs.fence`.
        token: the number of the run's token that the chief writes with, 0 if it takes one itself.
        metrics_folder: where the ranks of a pod write their metrics; None if they are not served.
        gpus: GPUs of each rank.
    """
    return {
        **_defaults(slot.local_size, gloo_timeout),
        **os.environ,
        **({MULTIPROC_FOLDER: metrics_folder} if metrics_folder else {}),
        rank_variables.RANK: str(slot.rank),
        rank_variables.SIZE: str(slot.size),
        rank_variables.LOCAL_RANK: str(slot.local_rank),
        rank_variables.LOCAL_SIZE: str(slot.local_size),
        rank_variables.CROSS_RANK: str(slot.cross_rank),
        rank_variables.CROSS_SIZE: str(slot.cross_size),
        # Only a label: Horovod treats ranks of one name as local to each other.
        rank_variables.HOST_NAME: f"pod-{slot.pod}",
        rank_variables.RENDEZVOUS_ADDRESS: "127.0.0.1",
        rank_variables.RENDEZVOUS_PORT: str(rendezvous_port),
        **_FIXED,
        rank_variables.GENERATION: str(generation),
        rank_variables.GANG: gang,
        rank_variables.TOKEN: str(token or ""),
        **_own_gpus(slot.local_rank, gpus),
    }


def complete_environment(gloo_timeout: int = 5) -> dict[str, str]:
    """Variables to add for a rank of another launcher, so that it computes like a supervisor's ranks.

    Raises ConfigError if this machine has GPUs, but fewer than ranks.
    """
    local_rank = int(os.environ[rank_variables.LOCAL_RANK])
    gpus.check_ranks(rank_variables.local_size(), gpus.visible_gpus(os.environ))
    defaults = {
        rank_variables.HOST_NAME: socket.gethostname(),
        **_defaults(rank_variables.local_size(), gloo_timeout),
    }
    return {
        **{name: value for name, value in defaults.items() if name not in os.environ},
        **_FIXED,
        **_own_gpus(local_rank, 1),
    }


_FIXED = {
    "HOROVOD_CONTROLLER": "gloo",
    "HOROVOD_CPU_OPERATIONS": "gloo",
    # Fusion joins tensors that happen to be ready: the order of a sum would change from run to run.
    rank_variables.FUSION_THRESHOLD: "0",
}


def _defaults(local_size: int, gloo_timeout: int) -> dict[str, str]:
    """Defaults of the variables that this process's environment may override."""
    return {
        **thread_environment(local_size, usable_cores()),
        **({} if gpus.visible_gpus(os.environ) else {CYCLE_TIME: CPU_CYCLE_MS}),
        GLOO_TIMEOUT: str(gloo_timeout),
    }


def _own_gpus(local_rank: int, count: int) -> dict[str, str]:
    """The variable that selects a rank's GPUs; empty if there are no GPUs."""
    visible, first = gpus.visible_gpus(os.environ), local_rank * count
    return {gpus.VISIBLE: ",".join(visible[first : first + count])} if visible else {}


def gloo_timeout(configured: float, environment: Mapping[str, str] = os.environ) -> float:
    """Seconds until a rank notices a broken exchange: the environment's value, else `configured`."""
    text = environment.get(GLOO_TIMEOUT, "")
    return float(text) if text.isdecimal() else configured
