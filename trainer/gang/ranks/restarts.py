"""When ranks that failed are started again, and when to give up: pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from trainer.errors import EXIT_FINISHED, EXIT_INTERRUPTED, EXIT_INVALID, EXIT_LOST
from trainer.gang.ranks.rank_processes import Exit

MAX_BACKOFF_SECONDS = 30.0


@dataclass(frozen=True)
class ExitVerdict:
    """How one pod's ranks ended.

    Attributes:
        code: that of a process that is all of them; EXIT_LOST where the exchange broke by no fault of theirs.
        culprit: the rank that failed of itself.
        forced: the ranks that had to be killed, or failed, when they were told to stop.
    """

    code: int
    culprit: Exit | None = None
    forced: tuple[int, ...] = ()

    @property
    def exit_code(self) -> int:
        """What the command exits with when it gives up."""
        if self.code == EXIT_LOST:
            return 1 if self.forced else EXIT_INTERRUPTED
        return self.code


def judge_exits(exits: Sequence[Exit]) -> ExitVerdict:
    """64 from any counts first; then a rank's own fault; then a broken exchange, a stop; 0 when all finished.

    The others of a rank that failed fail with it, and may be seen first: a killed one is taken for the cause,
    then one with a code of its own.
    """
    invalid = [one for one in exits if one.code == EXIT_INVALID]
    if invalid:
        return ExitVerdict(EXIT_INVALID, min(invalid, key=lambda one: one.rank))
    faults = [one for one in exits if one.code not in (EXIT_FINISHED, EXIT_INTERRUPTED, EXIT_LOST)]
    own = [one for one in faults if not one.asked]
    if own:
        culprit = min(own, key=lambda one: one.code >= 0)
        return ExitVerdict(culprit.code if culprit.code > 0 else 1, culprit)
    codes = {one.code for one in exits}
    if faults or EXIT_LOST in codes:
        return ExitVerdict(EXIT_LOST, forced=tuple(sorted(one.rank for one in faults)))
    return ExitVerdict(EXIT_INTERRUPTED if EXIT_INTERRUPTED in codes else EXIT_FINISHED)


@dataclass(frozen=True)
class Failures:
    """Failures in a row without a new step. `step`: the highest that any rank has finished."""

    count: int = 0
    step: int = -1

    def after(self, step: int) -> "Failures":
        """One more, of ranks that came to `step`."""
        if step > self.step:
            return Failures(1, step)
        return replace(self, count=self.count + 1)

    @property
    def rest(self) -> float:
        """Seconds to wait before the next start: 0, 1, 2, 4, ... 30."""
        return 0.0 if self.count <= 1 else min(MAX_BACKOFF_SECONDS, 2.0 ** (self.count - 2))
