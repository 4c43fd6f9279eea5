"""Ranks that another launcher, such as horovodrun, starts: what they need, and what is refused.

There is no supervisor then: the loss of a rank ends all of them, and the next start resumes.
"""

import os
from collections.abc import Mapping

from trainer.distribution.rank_variables import (
    CROSS_RANK,
    CROSS_SIZE,
    LOCAL_RANK,
    LOCAL_SIZE,
    PLACE,
    RANK,
    RENDEZVOUS_PORT,
    SIZE,
)
from trainer.errors import ConfigError

ELASTIC = "HOROVOD_ELASTIC"
MPI = (("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"), ("PMI_RANK", "PMI_SIZE"))
"""Rank and size as Open MPI, MPICH and Slurm's PMI name them."""

_PAIRS = ((RANK, SIZE), (LOCAL_RANK, LOCAL_SIZE), (CROSS_RANK, CROSS_SIZE))
_REMEDY = (
    "Start all ranks of this machine with `trainer train --ranks N`, or with `horovodrun -np N trainer train`"
)


def check_place(environment: Mapping[str, str] = os.environ) -> None:
    """Raises ConfigError if the environment has some of the variables of a rank, but not all of them.

    Also for processes of mpirun, which do not know of each other: each would train the whole run.
    """
    if any(name in environment for name in PLACE):
        _check_complete(environment)
        return
    for rank, size in MPI:
        count = environment.get(size, "")
        if rank in environment and count.isdecimal() and int(count) > 1:
            raise ConfigError(
                f"{rank}={environment[rank]}, {size}={count}: expected one process, or ranks of Horovod, "
                f"received one of {count} MPI processes, which this build of Horovod does not support",
                _REMEDY,
            )


def refuse_place(what: str, environment: Mapping[str, str] = os.environ) -> None:
    """Raises ConfigError in one of several ranks, for the option or command `what`, which starts ranks
    itself."""
    check_place(environment)
    if RANK in environment:
        raise ConfigError(
            f"{what}: expected no other launcher of ranks, received {RANK}={environment[RANK]}",
            "Remove it from `horovodrun -np N trainer train`, or start it without horovodrun",
        )


def _check_complete(environment: Mapping[str, str]) -> None:
    missing = [name for name in PLACE if not environment.get(name)]
    if missing:
        there = ", ".join(f"{name}={environment[name]}" for name in PLACE if environment.get(name))
        raise ConfigError(
            f"expected all variables of a Horovod rank, received {there or 'empty values'} without "
            f"{', '.join(missing)}",
            f"{_REMEDY}; for one process unset them",
        )
    for rank, size in _PAIRS:
        place, count = environment[rank], environment[size]
        if not (place.isdecimal() and count.isdecimal() and int(place) < int(count)):
            raise ConfigError(f"expected {rank} below {size}, received {place!r} and {count!r}", _REMEDY)
    if not environment[RENDEZVOUS_PORT].isdecimal():
        raise ConfigError(f"{RENDEZVOUS_PORT}: expected a number, received {environment[RENDEZVOUS_PORT]!r}")
    if environment.get(ELASTIC, "0") != "0":
        raise ConfigError(
            f"{ELASTIC}: expected a fixed number of ranks, received an elastic job",
            "Remove --min-np and --max-np; `trainer train --ranks N` restarts failed ranks",
        )
