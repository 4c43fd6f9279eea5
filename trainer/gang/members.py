"""What a gang consists of: its members, its generations, and the coordinator's answers."""

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
class Held:
    """The state that a living rank keeps while its generation ends: `local` is the rank's number in its pod,
    `step` the last step that it has finished."""

    local: int
    step: int


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
        held: what its living ranks hold; empty when they start from a checkpoint.
        port: the port where this pod's supervisor answers other pods, 0 if it does not.
        node: the name of the pod's node; "" if it is not known.
        problem: why an idle pod cannot train, "" if it can.
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
    held: tuple[Held, ...] = ()
    port: int = 0
    node: str = ""
    problem: str = ""


@dataclass(frozen=True)
class Seat:
    """A member of a generation, and its ranks."""

    index: int
    uid: str
    ranks: int


@dataclass(frozen=True)
class Leader:
    """The rank that sends its state to the ranks that lack it, and the last step that it has finished."""

    rank: int
    step: int


@dataclass(frozen=True)
class Generation:
    """The ranks that train together.

    Attributes:
        seats: one for each pod, in the order of the pods' numbers, which may have gaps.
        token: the number of the run's token that its chief writes with, 0 if the chief takes one itself.
        leader: None if no rank holds a state: then the newest checkpoint is restored.
    """

    id: str
    number: int
    seats: tuple[Seat, ...]
    token: int = 0
    leader: Leader | None = None

    @property
    def size(self) -> int:
        return sum(seat.ranks for seat in self.seats)

    @cached_property
    def runs(self) -> list[list[int]]:
        """The seats as [first pod, pods, ranks of each]: short, since they are sent four times a second."""
        runs: list[list[int]] = []
        for seat in self.seats:
            if runs and runs[-1][2] == seat.ranks and sum(runs[-1][:2]) == seat.index:
                runs[-1][1] += 1
            else:
                runs.append([seat.index, 1, seat.ranks])
        return runs

    def seat(self, index: int) -> Seat | None:
        """The seat of a pod; None for a pod that is not part of the generation."""
        return self._by_pod.get(index)

    @cached_property
    def _by_pod(self) -> dict[int, Seat]:
        return {seat.index: seat for seat in self.seats}


@dataclass(frozen=True)
class Ending:
    """Why and how a generation stops.

    Attributes:
        gone: the pods whose ranks have ended; what they do afterwards does not change the ending.
        late: the ranks that held up the others.
        cause_known: whether `reason` is the cause; False while only its effect on others was seen.
        failed: whether ranks failed by themselves, and not because a pod or its node has gone.
    """

    mode: StopMode
    reason: str
    gone: frozenset[int] = frozenset()
    late: tuple[int, ...] = ()
    cause_known: bool = True
    failed: bool = False


@dataclass(frozen=True)
class End:
    """How the whole gang ends: the code that every pod exits with, and the reason, "" for a finished run."""

    exit_code: int
    reason: str = ""


@dataclass(frozen=True)
class Gang:
    """What the coordinator knows.

    Attributes:
        generation: the newest one, None before the first.
        ending: set once that generation has to end.
        formed: when it formed, in seconds of the coordinator's clock.
        waiting_since: when the gang began to wait for the next generation; None while one runs.
        ready: whether enough members wait for the next generation, which then needs a token.
        token: the token of the next generation, taken before it forms; 0 without one.
        step: the highest step that any rank has finished; -1 before the first.
        failures: generations in a row that failed without a higher step, over all coordinators.
        retired: the uids of supervisors that a newer one has replaced.
        end: how the gang ends, once it is known.
        agreement: what must be equal in all members; None if it is not compared.
        refused: for each pod that was refused, by its number, when its last report arrived.
    """

    members: Mapping[int, Member] = field(default_factory=dict)
    generation: Generation | None = None
    ending: Ending | None = None
    formed: float = 0.0
    waiting_since: float | None = None
    ready: bool = False
    token: int = 0
    step: int = -1
    failures: int = 0
    retired: frozenset[str] = frozenset()
    end: End | None = None
    agreement: Agreement | None = None
    refused: Mapping[int, float] = field(default_factory=dict)


@dataclass(frozen=True)
class RunRanks:
    """Start the ranks of `generation`, or let them run. `slow`: the ranks that are slower than the others."""

    generation: Generation
    slow: tuple[int, ...] = field(default=(), compare=False)


@dataclass(frozen=True)
class StopRanks:
    """Stop the ranks, and report idle. `late`: the ranks that held up the others."""

    mode: StopMode
    reason: str
    late: tuple[int, ...] = ()


@dataclass(frozen=True)
class ExitPod:
    """Exit with this code, like all other pods. `reason`: "" for a finished run."""

    exit_code: int
    reason: str = ""


@dataclass(frozen=True)
class RefusePod:
    """This pod's configuration, dataset or packages differ from `agreement`: it cannot join the gang."""

    agreement: Agreement


@dataclass(frozen=True)
class Redirect:
    """Another pod coordinates, at `address` (`host:port`); "" if the one that was asked does not know
    which."""

    address: str


Answer = RunRanks | StopRanks | ExitPod | RefusePod | Redirect
