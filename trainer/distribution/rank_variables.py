"""The environment variables that define which rank a process is. A supervisor sets them (`trainer.gang`), or
horovodrun (`launchers`)."""

import os
import secrets
import socket
from typing import Any

RANK = "HOROVOD_RANK"
SIZE = "HOROVOD_SIZE"
LOCAL_RANK = "HOROVOD_LOCAL_RANK"
LOCAL_SIZE = "HOROVOD_LOCAL_SIZE"
CROSS_RANK = "HOROVOD_CROSS_RANK"
CROSS_SIZE = "HOROVOD_CROSS_SIZE"
RENDEZVOUS_ADDRESS = "HOROVOD_GLOO_RENDEZVOUS_ADDR"
RENDEZVOUS_PORT = "HOROVOD_GLOO_RENDEZVOUS_PORT"
GENERATION = "TRAINER_GENERATION"
STATUS_FD = "TRAINER_STATUS_FD"
STATE_FD = "TRAINER_STATE_FD"
GANG = "TRAINER_GANG"
TOKEN = "TRAINER_TOKEN"
KEEP_STATE = "TRAINER_KEEP_STATE"

_ALONE = secrets.token_hex(8)


def is_rank() -> bool:
    """Whether this process was started as one of several ranks."""
    return SIZE in os.environ


def is_supervised() -> bool:
    """Whether a supervisor started this process as one of its ranks, and restarts it if it fails."""
    return is_rank() and GENERATION in os.environ


def rank() -> int:
    """This process's rank; 0 if it is the only one."""
    return int(os.environ.get(RANK, "0"))


def own_rank() -> int | None:
    """This process's rank; None if it was not started as one."""
    return rank() if is_rank() else None


def size() -> int:
    """The world size; 1 if this process is the only rank."""
    return int(os.environ.get(SIZE, "1"))


def keeps_state() -> bool:
    """Whether this process only saves the state that ranks have left in memory."""
    return KEEP_STATE in os.environ


def local_size() -> int:
    """The ranks of this pod; 1 if this process is the only rank."""
    return int(os.environ.get(LOCAL_SIZE, "1"))


def generation() -> int:
    """The number of this rank's generation, counted from 1 in each pod's life."""
    return int(os.environ.get(GENERATION, "1"))


def gang() -> str:
    """An identifier of the gang, the same over restarts and pods; random without a supervisor."""
    return os.environ.get(GANG) or _ALONE


def holder() -> dict[str, Any]:
    """A description of this process, for the token of the run that it writes; see `trainer.runs.fence`.

    Where the gang's coordinator has taken the token, its number and the gang.
    """
    if os.environ.get(TOKEN):
        return {"gang": gang(), "generation": int(os.environ[TOKEN])}
    return {"host": socket.gethostname(), "pid": os.getpid(), "gang": gang()}


def rendezvous() -> tuple[str, int]:
    """Address and port of the generation's rendezvous."""
    return os.environ[RENDEZVOUS_ADDRESS], int(os.environ[RENDEZVOUS_PORT])
