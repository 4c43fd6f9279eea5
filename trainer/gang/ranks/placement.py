"""Which rank runs in which pod: pure."""

from dataclasses import dataclass

from trainer.gang.decisions import Generation


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
    before = [seat for seat in seats if seat.index < pod]
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
