"""Where the ranks of a generation run."""

from trainer.gang.members import Generation
from trainer.gang.ranks.slot import Slot


def slots(generation: Generation, pod: int) -> list[Slot]:
    """The ranks of one pod. Ranks are dense by (pod, local number), so that sums keep their order."""
    seats = generation.seats
    ranks = next(seat.ranks for seat in seats if seat.index == pod)
    lower = [seat for seat in seats if seat.index < pod]
    return [
        Slot(
            rank=sum(seat.ranks for seat in lower) + local,
            size=generation.size,
            local_rank=local,
            local_size=ranks,
            cross_rank=sum(seat.ranks > local for seat in lower),
            cross_size=sum(seat.ranks > local for seat in seats),
            pod=pod,
        )
        for local in range(ranks)
    ]
