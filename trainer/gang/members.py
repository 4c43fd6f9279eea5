"""What a gang consists of: its members, its generations, and the coordinator's answers."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property

from trainer.distribution.agreement import Agreement
from trainer.gang.ranks.stall import RankProgress


class StopMode(StrEnum):
    GRACEFUL = "soft"
    """Stop at an agreed step and save."""
    IMMEDIATE = "hard"
    """Stop at once: the exchange is broken."""


class MemberState(StrEnum):
    IDLE = "idle"
    """Ready to start its ranks."""
    RUNNING = "running"
    BACKING_OFF = "resting"
    """Its ranks failed; it waits before it starts them again."""
    DONE = "done"
    """Its ranks all exited 0; it waits for those of the other pods."""
    LEAVING = "leaving"
    """Its ranks have ended, and it ends too."""


@dataclass(frozen=True)
class Member:
    """What a pod's supervisor reports.

    Attributes:
        index: the pod's number.
        uid: random for each start of the supervisor.
        ranks: how many ranks it starts.
        generation: the id of the last generation it ran, "" before the first; only compared for equality.
        number: that generation's number, for the log.
        agreement: the digest of what must be equal in all pods of the gang; "" if it is not compared.
        exit_code: how its ranks ended in that generation, None while they run.
        progress: the progress of its ranks, while they run.
        heard: when its last report arrived, in seconds of the coordinator's clock.
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
    """A member of a generation, and its ranks."""

    index: int
    uid: str
    ranks: int


@dataclass(frozen=True)
class Generation:
    """The ranks that train together. `seats`: one for each pod, in the order of the pods' numbers."""

    id: str
    number: int
    seats: tuple[Seat, ...]

    @property
    def size(self) -> int:
        return sum(seat.ranks for seat in self.seats)

    @cached_property
    def runs(self) -> list[list[int]]:
        """The seats as [pods, ranks of each]: short, since they are sent to all pods four times a second."""
        groups = itertools.groupby(seat.ranks for seat in self.seats)
        return [[len(list(group)), ranks] for ranks, group in groups]

    def seat(self, index: int) -> Seat | None:
        """The seat of a pod; None for a pod that is not part of the generation."""
        return self.seats[index] if index < len(self.seats) else None


@dataclass(frozen=True)
class Ending:
    """Why and how a generation stops.

    Attributes:
        gone: the pods whose ranks have ended; what they do afterwards does not change the ending.
        late: the ranks that held up the others.
        cause_known: whether `reason` is the cause; False while only its effect on others was seen.
    """

    mode: StopMode
    reason: str
    gone: frozenset[int] = frozenset()
    late: tuple[int, ...] = ()
    cause_known: bool = True


@dataclass(frozen=True)
class Gang:
    """What the coordinator knows.

    Attributes:
        generation: the newest one, None before the first.
        ending: set once that generation has to end.
        retired: the uids of supervisors that a newer one has replaced.
        end: the code that every pod exits with, once it is known.
        agreement: what must be equal in all members; None if it is not compared.
        refused: for each pod that was refused, by its number, when its last report arrived.
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
    """Stop the ranks, and report idle. `late`: the ranks that held up the others."""

    mode: StopMode
    reason: str
    late: tuple[int, ...] = ()


@dataclass(frozen=True)
class ExitPod:
    """Exit with this code, like all other pods."""

    exit_code: int


@dataclass(frozen=True)
class RefusePod:
    """This pod's configuration, dataset or packages differ from `agreement`: it cannot join the gang."""

    agreement: Agreement


Answer = RunRanks | StopRanks | ExitPod | RefusePod
