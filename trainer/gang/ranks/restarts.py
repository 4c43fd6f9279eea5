"""When ranks that failed are started again, and when to give up: pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from trainer.errors import EXIT_FINISHED, EXIT_INTERRUPTED, EXIT_INVALID, EXIT_LOST
from trainer.gang.ranks.rank_process import Exit

MAX_BACKOFF_SECONDS = 30.0


@dataclass(frozen=True)
class ExitVerdict:
    """How one pod's ranks ended.

    Attributes:
        code: one exit code for all ranks; EXIT_LOST if the exchange broke because of another pod's ranks.
        culprit: the rank that failed by itself.
        forced: the ranks that had to be killed, or failed, after they were asked to stop.
        frozen: those of them that a signal such as SIGSTOP had stopped.
    """

    code: int
    culprit: Exit | None = None
    forced: tuple[int, ...] = ()
    frozen: tuple[int, ...] = ()

    @property
    def exit_code(self) -> int:
        """The command's exit code when it gives up."""
        if self.code == EXIT_LOST:
            return 1 if self.forced else EXIT_INTERRUPTED
        return self.code

    @property
    def own_fault(self) -> int | None:
        """The code of a rank that failed by itself, and may be started again; None without one."""
        return self.code if self.culprit and self.code != EXIT_INVALID else None

    def describe(self, *, several_pods: bool) -> str:
        """What happened to the ranks, for the log."""
        if self.culprit:
            return str(self.culprit)
        if self.forced:
            ranks = " and ".join(map(str, self.forced))
            frozen = " and ".join(map(str, self.frozen))
            cause = f" (rank {frozen} had been stopped by a signal)" if frozen else ""
            return (
                f"lost rank {ranks}, which did not respond or did not stop with the others, and was killed"
                f"{cause}"
            )
        if self.code == EXIT_LOST:
            return "this pod's ranks have lost a rank of another pod"
        if several_pods:
            return "this pod's ranks stopped because another rank is leaving (exit code 75)"
        return "the ranks stopped for a transient cause (exit code 75)"


def judge_exits(exits: Sequence[Exit], *, held: int | None = None) -> ExitVerdict:
    """64 of any rank counts first, then a rank's own fault, a broken exchange, a stop; 0 if all finished.

    `held`: the code of those that live on for the next generation, if any.

    When a rank fails, the others fail with it, and may be seen first: a rank killed by a signal is treated as
    the cause, then one with an exit code of its own.
    """
    invalid = [ended for ended in exits if ended.code == EXIT_INVALID]
    if invalid:
        return ExitVerdict(EXIT_INVALID, min(invalid, key=lambda ended: ended.rank))
    faults = [ended for ended in exits if ended.code not in (EXIT_FINISHED, EXIT_INTERRUPTED, EXIT_LOST)]
    unasked = [ended for ended in faults if not ended.asked]
    if unasked:
        culprit = min(unasked, key=lambda ended: ended.code >= 0)
        return ExitVerdict(culprit.code if culprit.code > 0 else 1, culprit)
    codes = {ended.code for ended in exits} | ({held} if held is not None else set())
    if faults or EXIT_LOST in codes:
        frozen = (ended.rank for ended in faults if ended.frozen)
        return ExitVerdict(
            EXIT_LOST,
            forced=tuple(sorted(ended.rank for ended in faults)),
            frozen=tuple(sorted(frozen)),
        )
    return ExitVerdict(EXIT_INTERRUPTED if EXIT_INTERRUPTED in codes else EXIT_FINISHED)


@dataclass(frozen=True)
class Failures:
    """Consecutive failures without a new step. `step`: the highest step that any rank has finished."""

    count: int = 0
    step: int = -1

    def after(self, step: int) -> "Failures":
        """One more failure, of ranks whose highest step was `step`."""
        if step > self.step:
            return Failures(1, step)
        return replace(self, count=self.count + 1)

    @property
    def backoff(self) -> float:
        """Seconds to wait before the next start: 0, 1, 2, 4, ... 30."""
        return 0.0 if self.count <= 1 else min(MAX_BACKOFF_SECONDS, 2.0 ** (self.count - 2))
