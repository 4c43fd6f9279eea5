"""Which rank holds up the others, and how long it may: pure.

The ranks exchange with each other in every step, so if one makes no progress, soon none does. They are
stalled once each of them has been silent for longer than its phase may take; before that, one may still be
loading, compiling or saving.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from trainer.distribution.rank_status import Phase, RankStatus
from trainer.gang.ranks.pace import NO_WORK, WorkMeter
from trainer.output.units import abbreviate

SLOWEST_FACTOR = 2.0
"""A rank may take this many times the longest time that it has taken in the same phase."""
FIRST_TIME_FACTOR = 6.0
"""A rank may take this many times the limit if there is no such time, or it says little: a first step is
compiled, a checkpoint may be large."""

FROZEN_SECONDS = 5.0
"""A rank that a signal has stopped is replaced after this many seconds."""

_STEP = frozenset({Phase.READING, Phase.TRAINING, Phase.CALLBACKS})
_EXCHANGING = frozenset({Phase.MEETING, Phase.HOLDING, Phase.TRAINING})
"""The phases in which a rank waits for the others."""


@dataclass(frozen=True)
class RankHistory:
    """What a supervisor has seen of one rank.

    Attributes:
        status: the newest status.
        since: when it was reported, in seconds of the monotonic clock; at first, when the rank was started.
        last: for each phase, how long the rank was in it the last time, in seconds.
        longest: for each phase, the longest time.
        work: how long its own part of a step takes.
    """

    status: RankStatus
    since: float
    last: Mapping[Phase, float] = field(default_factory=dict)
    longest: Mapping[Phase, float] = field(default_factory=dict)
    work: WorkMeter = NO_WORK

    def after(self, status: RankStatus) -> "RankHistory":
        """The history with a status that was read now, which may be the same as before."""
        if status == self.status:
            return self
        phase, took = self.status.phase, max(0.0, status.time - self.since)
        return RankHistory(
            status,
            status.time,
            {**self.last, phase: took},
            {**self.longest, phase: max(took, self.longest.get(phase, 0.0))},
            self.work.after(status, status.time),
        )

    def usual(self) -> float:
        """Seconds until the rank is expected to report again."""
        phase = self.status.phase
        return self.last[phase] if phase in self.last else max(self.longest.values(), default=0.0)


@dataclass(frozen=True)
class RankProgress:
    """What a supervisor reports about one rank.

    Attributes:
        step: the last finished step, -1 before the first of this process.
        idle: seconds since its last report or, if that is later, since it was asked to stop.
        longest: the longest time that it has taken in this phase, in seconds.
        frozen: whether a signal has stopped the process (state T).
        asked: whether it was asked to stop.
        work: seconds of its own part of a step; see `WorkMeter`.
        rows: how many rows it has of each step.
    """

    rank: int
    step: int
    phase: Phase
    idle: float
    longest: float = 0.0
    frozen: bool = False
    asked: bool = False
    work: float = 0.0
    rows: int = 0

    def __str__(self) -> str:
        steps = f"after step {self.step}" if self.step >= 0 else "before its first step"
        frozen = ", stopped by a signal" if self.frozen else ""
        return f"rank {self.rank} has been {self.phase} for {self.idle:.0f} s, {steps}{frozen}"


@dataclass(frozen=True)
class Limits:
    """Seconds without progress. `timeout`: 0 for no limit; `stopping`: after the ranks were asked to stop."""

    timeout: float = 0.0
    stopping: float = float("inf")

    def seconds(self, rank: RankProgress, *, stopping: bool) -> float:
        """How long a rank may be silent."""
        if stopping:
            # The others stop for this save: it has the whole grace period.
            saving = rank.phase is Phase.SAVING
            return float("inf") if saving else max(self.stopping, SLOWEST_FACTOR * rank.longest)
        if not self.timeout:
            return float("inf")
        usual = (
            rank.phase is Phase.MEETING
            or (rank.phase in _STEP and rank.step >= 0)
            or (rank.phase is Phase.EVALUATING and rank.longest)
        )
        return max(self.timeout * (1 if usual else FIRST_TIME_FACTOR), SLOWEST_FACTOR * rank.longest)


NO_LIMITS = Limits()


@dataclass(frozen=True)
class Stall:
    """`late`: the ranks that hold up the others; `reason`: a text that names them."""

    late: tuple[int, ...]
    reason: str


def find(ranks: Sequence[RankProgress], limits: Limits) -> Stall | None:
    """The ranks that hold up the others if all are stalled; None while one of them may still be at work.

    After a stop request, late ranks are killed so that the chief can commit, so the chief is not among them.
    """
    stopping = any(rank.asked for rank in ranks)
    if not ranks or any(rank.idle <= limits.seconds(rank, stopping=stopping) for rank in ranks):
        return None
    late = [rank for rank in late_ranks(ranks) if not (stopping and rank.rank == 0)]
    if not late:
        return None
    since = " since the stop request" if stopping else ""
    return Stall(
        tuple(rank.rank for rank in late), f"no progress{since}: {abbreviate(late, 3, separator='; ')}"
    )


def find_frozen(ranks: Iterable[RankProgress], *, at_once: bool) -> Stall | None:
    """The ranks that a signal has stopped: for longer than FROZEN_SECONDS, unless `at_once`."""
    frozen = [rank for rank in ranks if rank.frozen and (at_once or rank.idle > FROZEN_SECONDS)]
    if not frozen:
        return None
    return Stall(tuple(rank.rank for rank in frozen), f"no progress: {abbreviate(frozen, 3, separator='; ')}")


def late_ranks(ranks: Iterable[RankProgress]) -> list[RankProgress]:
    """The ranks that the others wait for; if they cannot be distinguished, all but the chief.

    These are the ranks that a signal has stopped, else those that are behind in steps, else those that are
    busy with something of their own while the others exchange.
    """
    ranks = list(ranks)
    behind = min(rank.step for rank in ranks)
    frozen = [rank for rank in ranks if rank.frozen]
    if frozen:
        return frozen
    for candidates in (
        [rank for rank in ranks if rank.step == behind],
        [rank for rank in ranks if rank.phase not in _EXCHANGING],
        [rank for rank in ranks if rank.rank != 0],
    ):
        if 0 < len(candidates) < len(ranks):
            return candidates
    return ranks
