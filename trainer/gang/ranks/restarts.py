"""When ranks that failed are started again, and when to give up: pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from trainer.errors import EXIT_FINISHED, EXIT_INTERRUPTED, EXIT_INVALID
from trainer.gang.ranks.processes import Exit

_LONGEST = 30.0


@dataclass(frozen=True)
class Verdict:
    """How one pod's ranks ended. `code`: what a process that is all of them would exit with."""

    code: int
    culprit: Exit | None = None


def judge(exits: Sequence[Exit]) -> Verdict:
    """64 from any counts first; then a rank's own fault; then a stop; 0 only when all finished.

    The others of a rank that failed fail with it, and may be seen first: a killed one is taken for the cause,
    then one with a code of its own. A rank killed because it did not stop is a fault without a culprit.
    """
    invalid = [one for one in exits if one.code == EXIT_INVALID]
    if invalid:
        return Verdict(EXIT_INVALID, min(invalid, key=lambda one: one.rank))
    faults = [one for one in exits if one.code not in (EXIT_FINISHED, EXIT_INTERRUPTED)]
    own = [one for one in faults if not one.asked]
    if own:
        culprit = min(own, key=lambda one: one.code >= 0)
        return Verdict(culprit.code if culprit.code > 0 else 1, culprit)
    if faults:
        return Verdict(1)
    return Verdict(EXIT_INTERRUPTED if any(one.code == EXIT_INTERRUPTED for one in exits) else EXIT_FINISHED)


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
        return 0.0 if self.count <= 1 else min(_LONGEST, 2.0 ** (self.count - 2))
