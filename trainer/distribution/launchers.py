"""Ranks that another launcher starts, as horovodrun does: what they need, and what is refused.

There is no supervisor then: a rank that is lost ends all of them, and the next start resumes.
"""

import os
from collections.abc import Mapping

from trainer.distribution.rank_variables import (
    CROSS_RANK,
    CROSS_SIZE,
    LOCAL_RANK,
    LOCAL_SIZE,
    RANK,
    RENDEZVOUS_ADDRESS,
    RENDEZVOUS_PORT,
    SIZE,
)
from trainer.errors import ConfigError

ELASTIC = "HOROVOD_ELASTIC"
PLACE = (RANK, SIZE, LOCAL_RANK, LOCAL_SIZE, CROSS_RANK, CROSS_SIZE, RENDEZVOUS_ADDRESS, RENDEZVOUS_PORT)
"""What every rank has to have."""
MPI = (("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"), ("PMI_RANK", "PMI_SIZE"))
"""Rank and size as Open MPI, MPICH and Slurm's PMI name them."""

_PAIRS = ((RANK, SIZE), (LOCAL_RANK, LOCAL_SIZE), (CROSS_RANK, CROSS_SIZE))
_REMEDY = (
    "Start all ranks of this machine by `trainer train --ranks N`, or by `horovodrun -np N trainer train`"
)


def check_place(environment: Mapping[str, str] = os.environ) -> None:
    """Raises ConfigError where the environment names a place among several ranks, but not all of it.

    Processes that would not know of each other, as mpirun starts them, would each train the whole run.
    """
    if any(name in environment for name in PLACE):
        _check_complete(environment)
        return
    for rank, size in MPI:
        count = environment.get(size, "")
        if rank in environment and count.isdecimal() and int(count) > 1:
            raise ConfigError(
                f"{rank}={environment[rank]}, {size}={count}: expected one process, or ranks of Horovod, "
                f"received one of {count} processes of MPI, without which this Horovod is built",
                _REMEDY,
            )


def refuse_place(what: str, environment: Mapping[str, str] = os.environ) -> None:
    """Raises ConfigError in one of several ranks: for `what` starts ranks itself."""
    check_place(environment)
    if RANK in environment:
        raise ConfigError(
            f"{what}: expected no other launcher that starts ranks, received {RANK}={environment[RANK]}",
            "Leave it out in `horovodrun -np N trainer train`, or start it without horovodrun",
        )


def _check_complete(environment: Mapping[str, str]) -> None:
    missing = [name for name in PLACE if not environment.get(name)]
    if missing:
        there = ", ".join(f"{name}={environment[name]}" for name in PLACE if environment.get(name))
        raise ConfigError(
            f"expected all that a rank of Horovod needs, received {there or 'empty values'} without "
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
            f"{ELASTIC}: expected a fixed number of ranks, received those of an elastic job",
            "Leave out --min-np and --max-np; `trainer train --ranks N` replaces ranks that fail",
        )
