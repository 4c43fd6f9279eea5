"""The words of the gang: its members, its generations, and the answers to them."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Literal

from trainer.distribution.agreement import Agreement
from trainer.gang.ranks.stall import RankProgress

How = Literal["soft", "hard"]
"""soft: stop at an agreed step and save; hard: the exchange is broken, stop at once."""


class MemberState(StrEnum):
    IDLE = "idle"
    """Ready to start its ranks."""
    RUNNING = "running"
    RESTING = "resting"
    """Its ranks failed; it waits a little before it starts them again."""
    DONE = "done"
    """Its ranks all exited 0; it waits to hear that the others' did."""
    LEAVING = "leaving"
    """Its ranks are gone and it goes too."""


@dataclass(frozen=True)
class Member:
    """What a pod's supervisor reports.

    Attributes:
        index: the pod's number.
        uid: random for each start of the supervisor.
        ranks: how many ranks it starts.
        generation: the id of the last generation it ran, "" before the first; only compared for equality.
        number: that generation's number, for the log.
        agreement: the digest of what the gang's pods have to have alike; "" where that is not compared.
        exit_code: how its ranks ended in that generation, None while they run.
        progress: of its ranks, while they run.
        heard: when it was last heard, in seconds of the coordinator's clock.
    """

    index: int
    uid: str
    state: MemberState
    ranks: int
    generation: str = ""
    number: int = 0
    exit_code: int | None = None
    progress: tuple[RankProgress, ...] = field(default=(), compare=False)
    heard: float = field(default=0.0, compare=False)
    agreement: str = ""


@dataclass(frozen=True)
class Seat:
    """A member's place in a generation."""

    index: int
    uid: str
    ranks: int


@dataclass(frozen=True)
class Generation:
    """`seats` of the pods from 0 on, in the order of their numbers."""

    id: str
    number: int
    seats: tuple[Seat, ...]

    @property
    def size(self) -> int:
        return sum(seat.ranks for seat in self.seats)

    @cached_property
    def runs(self) -> list[list[int]]:
        """The seats as [pods, ranks of each]: short, since all pods are sent them four times a second."""
        groups = itertools.groupby(seat.ranks for seat in self.seats)
        return [[len(list(group)), ranks] for ranks, group in groups]

    def seat(self, index: int) -> Seat | None:
        """Of a pod, None for one that has no part in it."""
        return self.seats[index] if index < len(self.seats) else None


@dataclass(frozen=True)
class Ending:
    """Why a generation stops.

    Attributes:
        gone: the pods whose part in it is over, of whom nothing more is news.
        late: the ranks that held up the others.
        known: whether `reason` is the cause; False while only its effect on others was seen.
    """

    how: How
    reason: str
    gone: frozenset[int] = frozenset()
    late: tuple[int, ...] = ()
    known: bool = True


@dataclass(frozen=True)
class Gang:
    """What the coordinator knows.

    Attributes:
        generation: the newest one, None before the first.
        ending: set once that generation has to end.
        retired: the uids of supervisors that a newer one has replaced.
        end: the code that everybody exits with, once it is certain.
        agreement: what every member has to have; None where that is not compared.
        refused: when a pod with another one was last heard, by its number.
    """

    members: Mapping[int, Member] = field(default_factory=dict)
    generation: Generation | None = None
    ending: Ending | None = None
    retired: frozenset[str] = frozenset()
    end: int | None = None
    agreement: Agreement | None = None
    refused: Mapping[int, float] = field(default_factory=dict)


@dataclass(frozen=True)
class RunRanks:
    """Start the ranks of `generation`, or let them run."""

    generation: Generation


@dataclass(frozen=True)
class StopRanks:
    """Stop the ranks, in this way, and report idle. `late`: the ranks that held up the others."""

    how: How
    reason: str
    late: tuple[int, ...] = ()


@dataclass(frozen=True)
class ExitPod:
    """Exit with this code, as every pod does."""

    exit_code: int


@dataclass(frozen=True)
class RefusePod:
    """This pod was started with something else than `agreement`, and has no part in the gang."""

    agreement: Agreement


Answer = RunRanks | StopRanks | ExitPod | RefusePod
