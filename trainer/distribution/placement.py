"""Which rank goes where, and what its environment says of it: pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from trainer.distribution.gang import Generation, Seat


@dataclass(frozen=True)
class Slot:
    """A rank's place; the names are Horovod's (`cross`: among the ranks with the same local number)."""

    rank: int
    size: int
    local_rank: int
    local_size: int
    cross_rank: int
    cross_size: int
    pod: int


def slots(generation: Generation, pod: int) -> list[Slot]:
    """The ranks of one pod. Ranks are dense by (pod, local number), so that sums keep their order."""
    seats = generation.seats
    own = next(seat for seat in seats if seat.index == pod)
    before = _before(seats, pod)
    return [
        Slot(
            rank=sum(seat.ranks for seat in before) + local,
            size=generation.size,
            local_rank=local,
            local_size=own.ranks,
            cross_rank=sum(seat.ranks > local for seat in before),
            cross_size=sum(seat.ranks > local for seat in seats),
            pod=pod,
        )
        for local in range(own.ranks)
    ]


def _before(seats: Sequence[Seat], pod: int) -> list[Seat]:
    return [seat for seat in seats if seat.index < pod]


def horovod_environment(slot: Slot, *, address: str, port: int, gloo_timeout: int) -> dict[str, str]:
    """What Horovod's core reads, with its rendezvous at `address`:`port`."""
    return {
        "HOROVOD_RANK": str(slot.rank),
        "HOROVOD_SIZE": str(slot.size),
        "HOROVOD_LOCAL_RANK": str(slot.local_rank),
        "HOROVOD_LOCAL_SIZE": str(slot.local_size),
        "HOROVOD_CROSS_RANK": str(slot.cross_rank),
        "HOROVOD_CROSS_SIZE": str(slot.cross_size),
        "HOROVOD_HOSTNAME": f"pod-{slot.pod}",
        "HOROVOD_GLOO_RENDEZVOUS_ADDR": address,
        "HOROVOD_GLOO_RENDEZVOUS_PORT": str(port),
        "HOROVOD_CONTROLLER": "gloo",
        "HOROVOD_CPU_OPERATIONS": "gloo",
        "HOROVOD_GLOO_TIMEOUT_SECONDS": str(gloo_timeout),
        # Fusion puts together what happens to be ready: the order of a sum would change from run to run.
        "HOROVOD_FUSION_THRESHOLD": "0",
    }
